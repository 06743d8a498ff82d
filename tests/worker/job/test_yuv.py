"""Where a backend makes the encoder's samples itself, a result is what libswscale would have led to."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.jobs import keys
from service.jobs.model import Job, Options
from tests.worker.job.conftest import SEGMENT
from tests.worker.job.test_reuse import nobody
from tests.worker.job.test_runner import accept, result_frames, run
from tests.worker.media.clips import make_clip, numbered
from worker.engine.backends import making
from worker.engine.backends.torch import TorchBackend
from worker.job.context import WorkerContext
from worker.job.steps import segment
from worker.media.writing.encode import PartEncoder

SHOWN = [*range(9), *[8] * 6, *range(9, 20)]  # held over the end of the second of four segments
FINE = Options(quality=100)


class YuvBackend(TorchBackend):
    """On a processor what a GPU does."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.makes_yuv = True


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    pictures = list(numbered(20, 72, 48))
    return make_clip(tmp_path / "clip.mp4", [pictures[n] for n in SHOWN], width=72, height=48)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Each frame that encoders are given: its dimensions, two of YUV and three of RGB, and its checksum."""
    monkeypatch.setattr(making, "_has_openvino", lambda: False)
    seen: list[tuple[int, int]] = []
    convert = PartEncoder.convert

    def noting(self: PartEncoder, high: np.ndarray) -> object:
        seen.append((high.ndim, zlib.crc32(np.ascontiguousarray(high))))
        return convert(self, high)

    monkeypatch.setattr(PartEncoder, "convert", noting)
    return seen


def by(backend: type[TorchBackend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "TorchBackend", backend)


def preview(context: WorkerContext, job: Job) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(context.storage.get(keys.preview_key(job.id))))).astype(int)


def test_a_video_of_ready_samples_is_the_one_of_converted_ones(
    context: WorkerContext,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[tuple[int, int]],
) -> None:
    by(YuvBackend, monkeypatch)
    ready = run(context, accept(context, clip, FINE))
    frames, shown = result_frames(context, ready, tmp_path), preview(context, ready)
    assert [dimensions for dimensions, _ in given].count(2) > len(SHOWN) / 2
    by(TorchBackend, monkeypatch)
    context.models.close()
    given.clear()
    converted = run(context, accept(context, clip, FINE))
    assert {dimensions for dimensions, _ in given} == {3}
    apart = np.abs(frames.astype(int) - result_frames(context, converted, tmp_path))
    assert apart.mean() < 1  # swscale cuts off where we round
    assert np.abs(shown - preview(context, converted)).mean() < 1


def test_a_video_that_is_handed_on_at_each_segment_is_the_undisturbed_one(
    context: WorkerContext, clip: Path, monkeypatch: pytest.MonkeyPatch, given: list[tuple[int, int]]
) -> None:
    """Also where a segment begins within a frame that is held."""
    assert len(SHOWN) > 3 * SEGMENT
    half = len(SHOWN) // 2
    assert SHOWN[half - 1] == SHOWN[half]
    by(YuvBackend, monkeypatch)
    run(context, accept(context, clip, FINE))
    undisturbed = given.copy()
    given.clear()
    monkeypatch.setattr(segment, "_next_held", nobody)
    run(context, accept(context, clip, FINE))
    assert len(undisturbed) == len(SHOWN)
    assert {dimensions for dimensions, _ in undisturbed} == {2, 3}
    assert given == undisturbed


@pytest.mark.parametrize("options", [Options(scale=2), Options(codec="ffv1", format="mkv")])
def test_reduced_and_lossless_videos_are_converted_from_rgb(
    context: WorkerContext,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[tuple[int, int]],
    options: Options,
) -> None:
    by(YuvBackend, monkeypatch)
    run(context, accept(context, clip, options))
    assert {dimensions for dimensions, _ in given} == {3}
