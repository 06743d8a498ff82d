"""What is known of any result, picture or video: who made it from what, and how long it took."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from service.jobs.manifest import Manifest
from service.objects.base import OnChunk, chunks_of


def describe(
    found: Manifest,
    result: Path,
    *,
    attempts: int,
    seconds: Iterable[Mapping[str, float]],
    wall_s: float,
    on_chunk: OnChunk,
) -> dict[str, Any]:
    """The part of a job's report that pictures and videos share.

    found     with the plan that the result was made by
    attempts  how often steps were begun
    seconds   by stage, of each step
    on_chunk  called again and again while the result is read
    """
    plan = found.plan
    assert plan is not None
    digest = hashlib.sha256()
    for chunk in chunks_of(result, on_chunk):
        digest.update(chunk)
    return {
        "model": plan.model,
        "version": plan.version,
        **({} if plan.model_reason is None else {"model_reason": plan.model_reason}),
        "strength": round(100 * found.share),
        "backend": plan.backend,
        "precision": plan.precision,
        "frames_in": plan.frame_count,
        "segments": len(plan.segments),
        "attempts": attempts,
        "input_sha256": found.job.sha256,
        "result_sha256": digest.hexdigest(),
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
