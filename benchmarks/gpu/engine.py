"""The engine on a device: every shipped model, size, format and number of streams.

The formats and numbers of streams of one model and size take turns, so that what slows the machine slows them
all. Pixels go from host memory to host memory, as in the service; DIS flows come ready made, since there the
decoding threads estimate them.
"""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch

from benchmarks.gpu.cases import Case, Record, forget_peak, peak_mib
from model_core import checkpoint
from worker.engine.backends.precision import Precision
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.engine.stream import Stream
from worker.frames import LowFrame

FRAMES_MIN: Final = 4  # of each stream; with fewer, streams that join and leave are all that is measured
FRAMES_MAX: Final = 120
ROUNDS_WANTED: Final = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """What all cases of a run have in common."""

    counts: Sequence[int]  # of streams; the first is what the others are set against
    device: torch.device
    tile_pixels_max: int


def cases(sizes: Sequence[tuple[int, int]], setting: Setting) -> Iterator[Case]:
    """sizes are (width, height) of the low-resolution frames."""
    for name in sorted(checkpoint.shipped(), key=lambda name: name == "bicubic"):
        for size in sizes:
            weight = 1.0 if name == "bicubic" else 4.0
            title = f"engine {name} {size[0]}x{size[1]}"
            yield Case(title, weight, partial(_measure, name, size, setting))


def _measure(name: str, size: tuple[int, int], setting: Setting, ends_at: float) -> list[Record]:
    model = checkpoint.load(checkpoint.shipped()[name]).model
    width, height = size
    counts, device = setting.counts, setting.device
    found: dict[tuple[Precision, int], list[Record]] = {}
    with ExitStack() as stack:
        batches: list[int] = []
        engines = {
            precision: stack.enter_context(
                Engine(
                    TorchBackend(
                        model,
                        device=str(device),
                        precision=precision,
                        tile_pixels_max=setting.tile_pixels_max,
                    ),
                    batch_max=max(counts),
                    on_batch=batches.append,
                )
            )
            for precision in _precisions(model.config.generator, device)
        }
        frames = _frames(FRAMES_MIN, size)
        one_each_s = 0.0  # of a frame in every format
        for engine in engines.values():
            for count in counts:
                run(engine, count, frames)  # builds kernels; each batch has its own
            one_each_s += run(engine, 1, frames) / len(frames)
        # A round is at most as long as all streams one after the other.
        wanted = (ends_at - time.monotonic()) / ROUNDS_WANTED / (one_each_s * sum(counts))
        frames = _frames(max(FRAMES_MIN, min(FRAMES_MAX, int(wanted))), size)
        round_s = 0.0
        while not found or time.monotonic() + round_s <= ends_at:
            began = time.monotonic()
            for precision, engine in engines.items():
                for count in counts:
                    batches.clear()
                    forget_peak(device)
                    busy_s = engine.busy_s
                    seconds = run(engine, count, frames)
                    found.setdefault((precision, count), []).append(
                        {
                            "frames_per_s": count * len(frames) / seconds,
                            "mean_batch": statistics.mean(batches),
                            "busy": (engine.busy_s - busy_s) / seconds,
                            "peak_mib": peak_mib(device),
                        }
                    )
            round_s = time.monotonic() - began
    return [
        {
            "kind": "engine", "model": name, "width": width, "height": height, "precision": precision,
            "streams": count, "rounds": len(rounds), "frames": len(frames),
            **{key: _median(rounds, key) for key in ("frames_per_s", "mean_batch", "busy")},
            "ratio": statistics.median(
                many["frames_per_s"] / one["frames_per_s"]
                for many, one in zip(rounds, found[precision, counts[0]], strict=True)
            ),
            "peak_mib": None if rounds[0]["peak_mib"] is None else max(r["peak_mib"] for r in rounds),
        }
        for (precision, count), rounds in found.items()
    ]  # fmt: skip


def run(engine: Engine, count: int, frames: LowFrame) -> float:
    """Seconds until `count` streams of these frames are through."""
    _, height, width, _ = frames.shape
    comes_along = engine.backend.config.flow_comes_along
    flow = np.zeros((2, height, width), np.float32) if comes_along else None

    def carry() -> None:
        with engine.open(height, width) as stream:
            feeder = threading.Thread(target=feed, args=(stream,))
            feeder.start()
            while stream.get() is not None:
                pass
            feeder.join()

    def feed(stream: Stream) -> None:
        for index, frame in enumerate(frames):
            stream.put(frame, flow if index else None)
        stream.end()

    carriers = [threading.Thread(target=carry) for _ in range(count)]
    started = time.perf_counter()
    for carrier in carriers:
        carrier.start()
    for carrier in carriers:
        carrier.join()
    return time.perf_counter() - started


def _precisions(generator: str, device: torch.device) -> tuple[Precision, ...]:
    if generator == "bicubic":  # no network that could run in another
        return ("float32",)
    # Processors emulate fp16, slowly, and serving never takes it there.
    return ("float32", "float16", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16")


def _frames(count: int, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def _median(rounds: Sequence[Record], key: str) -> float:
    return float(statistics.median(each[key] for each in rounds))
