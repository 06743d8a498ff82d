"""Jobs that show less of what the network made: the same frames however often they are left."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.jobs.model import Options
from tests.worker.job.test_reuse import SHOWN, nobody
from tests.worker.job.test_runner import accept, frames_of, result_frames, run
from tests.worker.media.clips import make_clip, numbered
from worker.job.context import WorkerContext
from worker.job.steps import segment

LOSSLESS = {"codec": "ffv1", "format": "mkv"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame is held over a whole segment, so that one goes on from a state and computes nothing."""
    pictures = list(numbered(9, 72, 48))
    folder = tmp_path_factory.mktemp("held")
    return make_clip(folder / "clip.mkv", [pictures[n] for n in SHOWN], width=72, height=48, codec="ffv1")


def made(context: WorkerContext, clip: Path, folder: Path, **given: object) -> np.ndarray:
    options = Options.model_validate({"model": "small", **LOSSLESS, **given})
    return result_frames(context, run(context, accept(context, clip, options)), folder)


def test_a_chain_that_is_handed_on_gives_the_frames_of_one_that_is_not(
    context: WorkerContext, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, at_once = (made(context, clip, tmp_path, strength=strength) for strength in (100, 40))
    monkeypatch.setattr(segment, "_next_held", nobody)
    assert np.array_equal(made(context, clip, tmp_path, strength=40), at_once)
    plain = made(context, clip, tmp_path, strength=0).astype(float)
    assert np.abs(at_once - (0.4 * whole + 0.6 * plain)).max() <= 1
    assert np.abs(plain - made(context, clip, tmp_path, model="bicubic")).max() <= 1
    assert len(frames_of(clip)) == len(at_once)


def test_a_picture_shows_as_much_as_was_asked(context: WorkerContext, tmp_path: Path) -> None:
    [pixels] = numbered(1, 40, 24)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    found = []
    for strength in (100, 50, 0):
        job = run(context, accept(context, tmp_path / "in.png", Options(model="small", strength=strength)))
        assert job.result_key is not None, job.error
        context.storage.fetch(job.result_key, tmp_path / "out.png")
        found.append(np.asarray(Image.open(tmp_path / "out.png")).astype(float))
    assert np.abs(found[1] - (found[0] + found[2]) / 2).max() <= 1
    assert np.abs(found[0] - found[2]).max() > 1
