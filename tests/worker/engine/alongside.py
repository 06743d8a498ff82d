"""Several clips through one engine at once, joining, falling behind and leaving at seeded moments."""

import random
import threading
import time

import numpy as np

from service.errors import UpscaleError
from tests.worker.engine.judge import Clip
from worker.engine.engine import Engine
from worker.engine.stream import StreamClosed


def run_alongside(engine: Engine, clips: list[Clip], *, seed: int, cuts: dict[int, int] | None = None):
    """Every clip through the engine at once, joining at random moments; (outputs of each, batch sizes aside).

    cuts    for a clip, the frame after which its stream is closed and another goes on from what was stored
    """
    outputs: list[list[np.ndarray]] = [[] for _ in clips]
    errors: list[BaseException] = []

    def feed(stream, clip: Clip, start: int, stop: int, pace: random.Random):
        try:
            for t in range(start, stop):
                if pace.random() < 0.05:
                    time.sleep(0.002)  # fall behind now and then, so that batches change
                stream.put(clip.frames[t], clip.flows[t], keep_state=bool(clip.rounded[t]))
            if stop == len(clip):
                stream.end()
        except StreamClosed:
            assert stop < len(clip)
        except UpscaleError as error:
            errors.append(error)

    def carry(index: int):
        clip, pace = clips[index], random.Random(seed * 100 + index)
        time.sleep(pace.random() * 0.1)
        cut = (cuts or {}).get(index)
        snapshot = None
        for start, stop in [(0, len(clip))] if cut is None else [(0, cut), (cut, len(clip))]:
            with engine.open(*clip.shape, is_deep=clip.is_deep, state=snapshot) as stream:
                fed = min(stop + 1, len(clip))  # one more, which a model that looks ahead needs
                feeder = threading.Thread(target=feed, args=(stream, clip, start, fed, pace))
                feeder.start()
                for t in range(start, stop):
                    outputs[index].append(stream.get())
                    if clip.rounded[t]:
                        snapshot = stream.take_snapshot()
                if stop == len(clip):
                    assert stream.get() is None
            feeder.join()

    carriers = [threading.Thread(target=carry, args=(index,)) for index in range(len(clips))]
    for carrier in carriers:
        carrier.start()
    for carrier in carriers:
        carrier.join()
    assert not errors
    return outputs
