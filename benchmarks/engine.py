"""Frames a second of the engine: one stream alone against 2, 4 and 8 at once.

    python -m benchmarks.engine [--model NAME] [--size 180x144] [--frames 12] [--rounds 3] [--precision auto]

All counts run by turns in each round, so that a machine that slows down slows all of them; only the
ratios of one run mean anything. Runs a model that ships, or random weights of 64 features and 10 blocks.
"""

import argparse
import statistics
import threading
import time

import numpy as np
import torch

from model_core import checkpoint
from model_core.checkpoint import Checkpoint
from model_core.config import ModelConfig
from model_core.model import build
from worker.engine.backends.making import Choice, Maker
from worker.engine.backends.torch import DTYPES
from worker.engine.engine import Engine
from worker.engine.stream import Stream
from worker.frames import LowFrame

COUNTS = (1, 2, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(checkpoint.shipped()), help="a model that ships")
    parser.add_argument("--size", default="180x144", help="width x height of the low-resolution frames")
    parser.add_argument("--frames", type=int, default=12, help="frames of each stream in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    found = _found(options.model)

    maker = Maker(torch.device(options.device))
    choice = maker.choose(found)
    if options.precision != "auto":
        choice = Choice(maker.runtime(found.config, options.precision), "as asked")
    backend = maker.make(found, choice.runtime)
    print(f"runtime     {backend.name} {backend.precision}: {choice.reason}")
    print(f"model       {found.config}")
    print(f"device      {options.device}, {torch.get_num_threads()} threads, {width}x{height}")

    frames = np.random.default_rng(0).integers(0, 256, (options.frames, height, width, 3), dtype=np.uint8)
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    stages: dict[str, float] = {}
    batches: list[int] = []

    def on_stage(stage: str, seconds: float) -> None:
        stages[stage] = stages.get(stage, 0) + seconds

    with Engine(backend, on_stage=on_stage, on_batch=batches.append) as engine:
        run(engine, 1, frames[:2])  # build kernels
        stages.clear()
        for _ in range(options.rounds):
            for count in COUNTS:
                before = len(batches)
                seconds = run(engine, count, frames)
                rates[count].append(count * len(frames) / seconds)
                mean = statistics.mean(batches[before:])
                print(f"  {count} streams: {rates[count][-1]:7.2f} frames/s, mean batch {mean:.2f}")
    print("streams   frames/s   against one alone (median of rounds)")
    for count in COUNTS:
        ratio = statistics.median(many / one for many, one in zip(rates[count], rates[1], strict=True))
        print(f"{count:7}   {statistics.median(rates[count]):8.2f}   {ratio:.2f}")
    print("seconds by stage: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items()))


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


def _found(name: str | None) -> Checkpoint:
    if name is not None:
        return checkpoint.load(checkpoint.shipped()[name])
    torch.manual_seed(0)
    return Checkpoint("random", build(ModelConfig(generator="frvsr", flow="dis")).eval())


if __name__ == "__main__":
    main()
