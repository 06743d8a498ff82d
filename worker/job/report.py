"""What is known of any result, picture or video: who made it from what, and how long it took."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from service.jobs.manifest import Manifest


def describe(
    found: Manifest,
    result: Path,
    *,
    attempts: int,
    seconds: Iterable[Mapping[str, float]],
    wall_s: float,
) -> dict[str, Any]:
    """The part of a job's report that pictures and videos share.

    found     with the plan that the result was made by
    attempts  how often steps were begun
    seconds   by stage, of each step
    """
    plan = found.plan
    assert plan is not None
    with result.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "model": plan.model,
        "version": plan.version,
        "backend": plan.backend,
        "precision": plan.precision,
        "frames_in": plan.frame_count,
        "segments": len(plan.segments),
        "attempts": attempts,
        "input_sha256": found.job.sha256,
        "result_sha256": sha256,
        "result_bytes": result.stat().st_size,
        "seconds_by_stage": _seconds_by_stage(seconds),
        "wall_s": round(wall_s, 3),
        "frames_per_s": round(plan.frame_count / wall_s, 3) if wall_s > 0 else None,
    }


def _seconds_by_stage(of_steps: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sums over all steps; stages of different segments overlap, so they may exceed the wall's."""
    sums: Counter[str] = Counter()
    for seconds in of_steps:
        sums.update(seconds)
    return {stage: round(total, 3) for stage, total in sums.items()}
