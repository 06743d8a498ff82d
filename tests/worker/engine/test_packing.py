"""Samples that the engine makes for encoders are those that libswscale makes of the same picture."""

import av
import numpy as np
import pytest
import torch

from model_core.config import ModelConfig
from model_core.model import build
from tests.worker.engine.judge import Clip, assert_levels_close
from tests.worker.engine.recording import RecordingHost
from worker.engine.backends.packing import Packer
from worker.engine.backends.torch import TorchBackend
from worker.engine.engine import Engine
from worker.media.colour import to_yuv, yuv420
from worker.media.types import Colour

COLOURS = [Colour(matrix=matrix, range=kind) for matrix in (1, 4, 5, 6, 7, 9) for kind in (1, 2)]


def by_swscale(rgb: np.ndarray, colour: Colour) -> np.ndarray:
    height, width = rgb.shape[:2]
    with to_yuv(width, height, pix_fmt="yuv420p", colour=colour) as converter:
        return converter.convert(av.VideoFrame.from_ndarray(rgb, format="rgb24")).to_ndarray()


def by_device(rgb: np.ndarray, colour: Colour) -> np.ndarray:
    levels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    return Packer(yuv420(colour), torch.device("cpu"))(levels)[0].numpy()


def pictures() -> list[np.ndarray]:
    """Noise of the whole range; pure colours, where filters overshoot; slopes; the smallest there is."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pure = (255 * random.integers(0, 2, (40, 36, 3))).astype(np.uint8)
    slope = np.add.outer(np.arange(32), np.arange(80))[..., None] * np.array([2, 1, 3]) % 256
    return [noise, pure, slope.astype(np.uint8), noise[:16, :16].copy()]


@pytest.mark.parametrize("colour", COLOURS, ids=lambda each: f"{each.matrix}-{each.range}")
def test_every_sample_is_within_a_level_of_swscales(colour):
    for rgb in pictures():
        difference = by_device(rgb, colour).astype(int) - by_swscale(rgb, colour)
        assert np.abs(difference).max() <= 1
        assert np.abs(difference.mean()) < 0.6  # swscale cuts off where we round


def test_another_matrix_range_or_siting_would_be_seen():
    """The test above could not fail otherwise."""
    rgb = pictures()[0]
    wanted = by_swscale(rgb, Colour(matrix=1, range=1))
    for other in (Colour(matrix=6, range=1), Colour(matrix=1, range=2)):
        assert np.abs(by_device(rgb, other).astype(int) - wanted).max() > 5
    moved = by_device(np.roll(rgb, 1, axis=1), Colour(matrix=1, range=1))
    assert np.abs(moved[48:].astype(int) - wanted[48:]).max() > 5


def test_a_recorded_step_of_yuv_gives_what_the_plain_one_gives(model_memory):
    clip, how = Clip(6, length=8, flow="dis-fast"), yuv420(Colour(matrix=1, range=1))
    place = RecordingHost()
    outputs = []
    for backend in (TorchBackend(model_memory), TorchBackend(model_memory, place=place)):
        backend.makes_yuv = True
        outputs.append(np.stack(made(clip, backend, yuv=how)))
    assert place.replays > 2
    assert_levels_close(outputs[1], outputs[0])


def made(clip: Clip, backend: TorchBackend, *, yuv=None, keeps: int | None = None) -> list[np.ndarray]:
    with Engine(backend) as engine, engine.open(*clip.shape, yuv=yuv) as stream:
        for t, (frame, flow) in enumerate(zip(clip.frames, clip.flows, strict=True)):
            stream.put(frame, flow, keep_state=t == keeps)
        stream.end()
        return [stream.get() for _ in clip.frames]


@pytest.mark.parametrize("kind", ["dis", "memory"])
def test_a_stream_of_yuv_is_that_of_rgb_and_a_kept_frame_comes_as_rgb(kind, request):
    """Where a segment ends its state is stored, whose output is RGB. A sample may be rounded the other way:
    here the picture's layout in memory is another, and so is the order of sums."""
    model = request.getfixturevalue(f"model_{kind}")
    clip, colour = Clip(4, length=8, flow=model.config.flow), Colour(matrix=1, range=1)
    backend = TorchBackend(model)
    backend.makes_yuv = True
    plain = made(clip, backend, keeps=5)
    packed = made(clip, backend, yuv=yuv420(colour), keeps=5)
    for t, (rgb, samples) in enumerate(zip(plain, packed, strict=True)):
        if t == 5:
            assert np.array_equal(samples, rgb)
        else:
            assert_levels_close([samples], by_device(rgb, colour)[None])


def test_streams_of_other_colours_share_an_engine():
    backend = TorchBackend(build(ModelConfig(generator="bicubic", flow="none")))
    backend.makes_yuv = True
    random = np.random.default_rng(1)
    frame = random.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    kinds = [None, *(yuv420(colour) for colour in COLOURS[:2]), None]
    with Engine(backend) as engine:
        streams = [engine.open(16, 24, yuv=kind) for kind in kinds]
        with engine._device:  # all frames are there when the first tick begins
            for stream in streams:
                stream.put(frame)
                stream.end()
        rgb, limited, full, again = [stream.get() for stream in streams]
    assert np.array_equal(rgb, again)
    assert np.array_equal(limited, by_device(rgb, COLOURS[0]))
    assert np.array_equal(full, by_device(rgb, COLOURS[1]))
