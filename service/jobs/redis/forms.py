"""Jobs and steps as the text that Redis holds, and back. Calls: store.py; keys: scripts.py."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

from service.formats import MediaKind
from service.jobs.manifest import Segment
from service.jobs.model import Job
from service.jobs.steps import Line, Step, StepRecord, in_order


def job_fields(job: Job, names: Iterable[str] | None = None) -> list[str]:
    """Field, JSON, field, JSON ... of all fields, or of these."""
    dumped = job.model_dump(mode="json", include=None if names is None else set(names))
    return [text for name, value in dumped.items() for text in (name, json.dumps(value))]


def job_of_list(flat: list[str]) -> Job:
    """From `job_fields`, as a script returns a hash."""
    return job_of_hash(dict(zip(flat[::2], flat[1::2], strict=True)))


def job_of_hash(fields: Mapping[str, str]) -> Job:
    pairs = [f'"{name}":{text}' for name, text in fields.items() if not name.startswith("_")]
    return Job.model_validate_json(f"{{{','.join(pairs)}}}")  # all in one: half of what each by itself takes


def layout(segments: Iterable[Segment]) -> list[list[int]]:
    """Index, frames and predecessor (-1: none) of each segment."""
    return [[s.index, s.frame_count, -1 if s.follows is None else s.follows] for s in segments]


def line(values: list[str | int]) -> Line:
    """From what line_up.lua returns."""
    added, kind, since, plan, segment, assemble, *first = values
    return Line(
        kind=cast(MediaKind, kind),
        since=float(since) if since else None,
        counts={"plan": int(plan), "segment": int(segment), "assemble": int(assemble)},
        first=tuple(str(step) for step in first),
        added=int(added),
    )


def step_records(flat: Mapping[str, str]) -> dict[Step, StepRecord]:
    """From a hash of `step|field`; in the order of the steps."""
    fields_by_step: dict[Step, dict[str, str]] = {}
    for name, value in flat.items():
        step, field = name.split("|")
        fields_by_step.setdefault(step, {})[field] = value
    return {step: _step_record(fields_by_step[step]) for step in in_order(fields_by_step)}


def _step_record(fields: Mapping[str, str]) -> StepRecord:
    return StepRecord(
        fence=int(fields["fence"]),
        owner=fields.get("owner") or None,
        expires_at=float(fields.get("expires_at") or 0),
        attempts=int(fields.get("attempts") or 0),
        done=bool(fields.get("done")),
        part_key=fields.get("part_key") or None,
        state_key=fields.get("state_key") or None,
        frames_done=int(fields.get("frames_done") or 0),
        seconds=json.loads(fields.get("seconds") or "{}"),
    )
