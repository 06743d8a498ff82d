"""Pictures and animations read elsewhere are those read here, and readers go on to the same owner's next."""

import threading
from dataclasses import asdict

import numpy as np
import pytest

from service.errors import BrokenMedia, FrameTooLarge
from tests.fuzz.samples import PICTURES
from worker.media.animation import reading as animation_here
from worker.media.pictures.reading import read_image as read_here
from worker.media.sandbox import pool
from worker.media.sandbox.keeper import Keeper
from worker.media.sandbox.pictures import read_image
from worker.media.sandbox.pool import Pool
from worker.media.sandbox.reading import alphas, decode_animation, look_through

PIXELS_MAX = 100_000
STILLS = [name for name in PICTURES if not name.startswith("moving")]
MOVING = [name for name in PICTURES if name.startswith("moving")]


@pytest.fixture
def pictures(monkeypatch):
    """A pool of this test alone."""
    own = Pool(slots=2, pixel_bytes=3)
    monkeypatch.setattr("worker.media.sandbox.pictures.POOL", own)
    yield own
    own.close()


def made(tmp_path, name):
    PICTURES[name](tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("name", STILLS)
def test_picture_is_that_of_the_one_reader(tmp_path, name):
    path = made(tmp_path, name)
    found, wanted = (asdict(read(path, pixels_max=PIXELS_MAX)) for read in (read_image, read_here))
    assert np.array_equal(found.pop("rgb"), wanted.pop("rgb"))
    found_alpha, wanted_alpha = found.pop("alpha"), wanted.pop("alpha")
    assert (found_alpha is None) == (wanted_alpha is None)
    assert wanted_alpha is None or np.array_equal(found_alpha, wanted_alpha)
    assert found == wanted


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("on_white", [False, True])
def test_animation_is_that_of_the_one_reader(tmp_path, limits, name, on_white):
    path, kind = made(tmp_path, name), name.rpartition(".")[2]
    source, timeline = look_through(path, kind, limits=limits, is_laid_on_white=on_white)
    wanted = animation_here.look_through(path, kind, limits=limits, is_laid_on_white=on_white)
    assert (source, timeline) == wanted
    frames = decode_animation(path, source, 1, 4, is_laid_on_white=on_white)
    wanted_frames = animation_here.decode(path, source, 1, 4, is_laid_on_white=on_white)
    assert np.array_equal(list(frames), list(wanted_frames))
    planes = list(alphas(path, source, timeline.frame_count))
    assert np.array_equal(planes, [frame.alpha for frame in animation_here.shown(path, source)])


def test_refusals_keep_their_types(tmp_path):
    path = made(tmp_path, "plain.png")
    with pytest.raises(FrameTooLarge):
        read_image(path, pixels_max=100)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BrokenMedia):
        read_image(path, pixels_max=PIXELS_MAX)


def test_reader_goes_on_to_the_next_picture_of_the_same_owner_only(tmp_path, pictures):
    path = made(tmp_path, "transparent.png")
    read_image(path, pixels_max=PIXELS_MAX, owner="one")
    [first] = pictures._idle
    read_image(path, pixels_max=PIXELS_MAX, owner="one")
    assert list(pictures._idle) == [first]
    read_image(path, pixels_max=PIXELS_MAX, owner="another")
    assert len(pictures._idle) == 2
    read_image(path, pixels_max=PIXELS_MAX)
    assert len({id(pooled) for pooled in pictures._idle}) == 3
    assert {pooled.owner for pooled in pictures._idle} == {"one", "another", None}


def test_reader_that_met_damage_is_not_used_again(tmp_path, pictures):
    path = made(tmp_path, "plain.png")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BrokenMedia):
        read_image(path, pixels_max=PIXELS_MAX)
    assert not pictures._idle


def test_reader_is_replaced_after_a_number_of_pictures(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(pool, "USES_MAX", 2)
    path = made(tmp_path, "plain.png")
    for wanted in (1, 0, 1, 0):
        read_image(path, pixels_max=PIXELS_MAX)
        assert len(pictures._idle) == wanted


def test_picture_leaves_nothing_to_the_next(tmp_path, pictures):
    path = made(tmp_path, "transparent.png")
    read_image(path, pixels_max=PIXELS_MAX)
    [pooled] = pictures._idle
    assert not pooled.ring.take(0, (100,)).any()


def test_idle_readers_are_few(tmp_path, pictures):
    path = made(tmp_path, "plain.png")
    for number in range(pool.IDLE_MAX + 2):
        read_image(path, pixels_max=PIXELS_MAX, owner=str(number))
    assert [pooled.owner for pooled in pictures._idle] == [str(n) for n in range(2, pool.IDLE_MAX + 2)]


def test_idle_readers_whose_zygote_ended_are_passed_over(tmp_path, monkeypatch):
    keeper = Keeper()
    pictures = Pool(slots=2, pixel_bytes=3, keeper=keeper)
    monkeypatch.setattr("worker.media.sandbox.pictures.POOL", pictures)
    path = made(tmp_path, "plain.png")
    read_image(path, pixels_max=PIXELS_MAX)
    keeper.stop()
    read_image(path, pixels_max=PIXELS_MAX)
    assert len(pictures._idle) == 1
    pictures.close()
    keeper.stop()


def test_pictures_are_read_side_by_side(tmp_path):
    paths = [made(tmp_path, name) for name in STILLS[:4]]
    wanted = [read_here(path, pixels_max=PIXELS_MAX).rgb for path in paths]
    same = []

    def read():
        for path, expected in zip(paths, wanted, strict=True):
            same.append(np.array_equal(read_image(path, pixels_max=PIXELS_MAX).rgb, expected))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 16
