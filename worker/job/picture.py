"""The one segment of a picture: its colours and its transparency go through the network side by side.

The part is the finished file; assembly only gives it its place.
"""

import cv2
import numpy as np

from model_core.config import SCALE
from service import metrics
from service.formats import suffix_of
from service.jobs import keys
from service.jobs.manifest import Manifest
from worker.engine.engine import Engine
from worker.frames import HighFrame, LowFrame
from worker.job.context import WorkerContext, add_notices
from worker.job.held import Held, patiently
from worker.media.writing import images


def upscale(context: WorkerContext, held: Held, found: Manifest, engine: Engine) -> None:
    """Upscale the picture of a job whose only segment is held."""
    plan, options, job_id = found.plan, found.job.options, found.job.id
    assert plan is not None
    with context.inputs.open(job_id) as path:
        low = images.read_image(path, pixels_max=context.settings.pixels_max)
    with held.timed("wait"):
        rgb = reduced(_enlarge(engine, low.rgb), options.scale)
        alpha = None
        if low.alpha is not None:
            grey = np.repeat(low.alpha[..., None], 3, axis=2)
            alpha = reduced(_enlarge(engine, grey), options.scale).mean(axis=2).round().astype(np.uint8)
    metrics.FRAMES.inc()
    held.advance()
    part = context.scratch / f"{job_id}-{held.lease.fence}{suffix_of(plan.container)}"
    try:
        high, part_key = low.with_pixels(rgb, alpha), keys.part_key(job_id, 0, held.lease.fence)
        with held.timed("encode"):
            notices = images.write_image(high, part, kind=plan.container, quality=options.quality)
        with held.timed("upload"):
            patiently(context.storage.put_file, part_key, part)
    finally:
        part.unlink(missing_ok=True)
    context.previews.show(held, high, is_last=True)
    add_notices(context, job_id, notices)
    held.finish(part_key=part_key)


def _enlarge(engine: Engine, low: LowFrame) -> HighFrame:
    """One frame from a clean state: (h, w, 3) -> (4h, 4w, 3)."""
    with engine.open(*low.shape[:2]) as stream:
        stream.put(low)
        stream.end()
        high = stream.get()
    assert high is not None, "one frame in, one frame out"
    return high


def reduced(high: HighFrame, scale: int) -> HighFrame:
    """(4h, 4w, 3) as it is for a scale of 4, or its mean over 2x2 pixels for a scale of 2."""
    if scale == SCALE:
        return high
    height, width = high.shape[:2]
    half = cv2.resize(high, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.uint8)
