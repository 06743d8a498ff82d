"""Does memory grow with the length of a video? A worker's peak for a short and a long clip of one shot.

    python -m benchmarks.memory [--frames 200 2000] [--size 180x144]

Each clip goes through `upscaled serve` of its own, with a small recurrent model, lossless. The frames of the
result are compared with one uncut pass of the recurrence, rounded at the same places.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from model_core.checkpoint import load
from model_core.dis import DisFlow
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State, step
from service.jobs.manifest import Manifest
from tests.conftest import free_ports
from tests.integration.conftest import MODEL, publish_small_model
from tests.integration.running import Running
from tests.worker.media.clips import make_clip
from worker.frames import LowFrame
from worker.media.reading.decode import decode
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.types import Limits

LIMITS = Limits(pixels_max=10**8, duration_s_max=36000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--size", default="180x144")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(1)  # beside a service at work, two threads would spend their time waiting
    for frame_count in arguments.frames:
        with tempfile.TemporaryDirectory(prefix="upscaled-memory-") as folder:
            measure(Path(folder), frame_count, width, height)


def measure(folder: Path, frame_count: int, width: int, height: int) -> None:
    publish_small_model(folder / "data")
    clip = make_clip(folder / "clip.mp4", one_shot(frame_count, width, height), width=width, height=height)
    with Running(folder / "data", free_ports(1)[0]) as service:
        before = peak_bytes(service.worker_pid())
        job_id = service.post(clip, model=MODEL, codec="ffv1", format="mkv")
        service.finished(job_id, within_s=3600)
        after = peak_bytes(service.worker_pid())
        result = service.result(job_id, folder)
    manifest = folder / "data" / "objects" / "jobs" / job_id / "job.json"
    plan = Manifest.model_validate_json(manifest.read_bytes()).plan
    assert plan is not None
    stops = {segment.frame_stop for segment in plan.segments}
    print(
        f"{frame_count} frames {width}x{height}, {len(plan.segments)} segments in "
        f"{sum(segment.follows is None for segment in plan.segments)} chains: peak memory of the worker "
        f"{after / 2**20:.0f} MiB ({before / 2**20:.0f} before the job)",
        flush=True,
    )
    levels_max, apart, samples = 0, 0, 0
    for found, wanted in zip(frames_of(result), one_pass(clip, folder, stops), strict=True):
        levels = np.abs(found.astype(np.int16) - wanted)
        levels_max = max(levels_max, int(levels.max()))
        apart, samples = apart + int((levels > 0).sum()), samples + levels.size
    print(f"  against one uncut pass: {apart / samples:.2e} of samples differ, by at most {levels_max}")


def one_shot(frame_count: int, width: int, height: int) -> Iterator[LowFrame]:
    """A slow circle over a soft texture: motion everywhere, and nothing that looks like a cut."""
    noise = np.random.default_rng(0).integers(0, 256, (height + 64, width + 64, 3), np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    for index in range(frame_count):
        angle = index / 20
        y, x = round(32 + 30 * math.sin(angle)), round(32 + 30 * math.cos(angle))
        yield np.ascontiguousarray(scene[y : y + height, x : x + width], dtype=np.uint8)


def one_pass(clip: Path, folder: Path, rounded_at: set[int]) -> Iterator[LowFrame]:
    """The whole clip by `model_core.recurrence.step`, one frame after the other."""
    model = load(next((folder / "data" / "made").iterdir())).model
    dis, before, state = DisFlow(model.config.flow), None, None
    for index, frame in enumerate(frames_of(clip)):
        height, width = frame.shape[:2]
        flow = np.zeros((2, height, width), np.float32) if before is None else dis(before, frame)
        state = state or State.clean(1, height, width)
        with torch.inference_mode():
            low = to_float(torch.from_numpy(frame)[None])
            state = state or State.clean(model.config, low)
            state, high = step(model, state, low, torch.from_numpy(flow)[None])
        if index + 1 in rounded_at:
            state = state.rounded()
        before = frame
        yield to_uint8(high)[0].numpy()


def frames_of(path: Path) -> Iterator[LowFrame]:
    source = probe(path, limits=LIMITS)
    timeline = scan(path, source, limits=LIMITS)
    yield from decode(path, source, timeline, 0, timeline.frame_count)


def peak_bytes(pid: int) -> int:
    """The largest resident size the process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM: this needs Linux")


if __name__ == "__main__":
    main()
