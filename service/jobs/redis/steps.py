"""Steps, in Valkey: service/jobs/steps.py tells what each method does."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from service.jobs.manifest import Segment
from service.jobs.redis import forms
from service.jobs.redis.client import RedisClient, lease_fields
from service.jobs.redis.errors import answering
from service.jobs.redis.scripts import PREFIX
from service.jobs.steps import (
    ALIVE_S,
    FIRST_IN_LINE,
    Lease,
    Line,
    Runtime,
    Step,
    StepRecord,
    in_order,
    too_many_attempts,
)
from service.jobs.store import unknown_job


class RedisSteps(RedisClient):
    def set_segments(self, job_id: str, segments: Iterable[Segment], runtime: Runtime | None = None) -> bool:
        answer = self._run("set_segments", id=job_id, segments=forms.layout(segments), runtime=runtime)
        if answer == "unknown":
            raise unknown_job(job_id)
        return bool(answer == "set")

    def take(
        self, owner: str, runtimes: Collection[Runtime] | None, *, told: tuple[str, Step] | None = None
    ) -> Lease | None:
        job_id, step = told or (None, None)
        answer = self._run(
            "take",
            owner=owner,
            runtimes=None if runtimes is None else sorted(runtimes),
            id=job_id,
            step=step,
            lease_s=self._lease_s,
        )
        return None if answer[0] == "no" else self._lease(owner, answer)

    def acquire(
        self, job_id: str, step: Step, owner: str, *, unless_next: Collection[Runtime] | None = None
    ) -> Lease | None:
        answer = self._run(
            "acquire",
            id=job_id,
            step=step,
            owner=owner,
            lease_s=self._lease_s,
            attempts_max=self._attempts_max,
            runtimes=None if unless_next is None else sorted(unless_next),
        )
        if answer[0] == "too_many":
            raise too_many_attempts(step, answer[1])
        return None if answer[0] == "no" else self._lease(owner, answer)

    def _lease(self, owner: str, answer: list[Any]) -> Lease:
        _, fence, expires_at, attempt, job_id, step = answer
        return Lease(
            job_id=job_id,
            step=step,
            owner=owner,
            fence=fence,
            expires_at=float(expires_at),
            life_s=self._lease_s,
            attempt=attempt,
        )

    def renew(self, lease: Lease, *, frames_done: int = 0) -> bool:
        return bool(self._run("renew", **lease_fields(lease), lease_s=self._lease_s, frames_done=frames_done))

    def release(self, lease: Lease, *, only_for: Runtime | None = None) -> None:
        self._run("release", **lease_fields(lease), only_for=only_for)

    def finish(
        self,
        lease: Lease,
        *,
        part_key: str | None = None,
        state_key: str | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> bool:
        stages = json.dumps(dict(seconds or {}))  # kept as it is, for whoever reads the step
        return bool(
            self._run("finish", **lease_fields(lease), part_key=part_key, state_key=state_key, seconds=stages)
        )

    def steps(self, job_id: str) -> dict[Step, StepRecord]:
        with answering():
            flat = cast(dict[str, str], self._client.hgetall(f"{PREFIX}steps:{job_id}"))
        return forms.step_records(flat)

    def waiting(self, job_id: str) -> list[Step]:
        return in_order(self._run("waiting", id=job_id))

    def line_up(self, job_id: str) -> Line | None:
        answer = self._run("line_up", id=job_id, count=FIRST_IN_LINE)
        return forms.line(answer) if answer else None

    def announce(self, runtimes: Collection[Runtime], worker: str | None = None) -> None:
        self._run("announce", runtimes=sorted(runtimes), worker=worker)

    def worker_count(self) -> int:
        return int(self._run("worker_count", alive_s=ALIVE_S))

    def is_served(self, runtime: Runtime) -> bool:
        return bool(self._run("is_served", runtime=runtime))
