"""Previews: what they show, how seldom they are made, and that they cost a job nothing but a little time."""

import io
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import StorageUnavailable
from service.jobs import keys
from service.jobs.memory.store import MemoryStore
from service.objects.files import FileStorage
from tests.service.api.samples import begin, stored_job
from worker.job import preview
from worker.job.held import Held
from worker.job.preview import Previews, small
from worker.media.pictures.picture import Picture


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "objects")


@pytest.fixture
def previews(storage: FileStorage, clock: Clock) -> Previews:
    return Previews(storage, clock=clock)


@pytest.fixture
def held(storage: FileStorage) -> Iterator[Held]:
    store = MemoryStore(lease_s=15, attempts_max=2)
    stored_job(store, storage, "a")
    begin(store, "a")
    lease = store.acquire("a", "segment/0", "me")
    assert lease is not None
    with Held(store, lease, draining=threading.Event()) as made:
        yield made


def flat(level: int, width: int = 64, height: int = 48) -> Picture:
    return Picture(rgb=np.full((height, width, 3), level, np.uint8))


LOW = flat(200, 16, 12)


def shown(storage: FileStorage, key: Callable[[str], str] = keys.preview_key) -> Image.Image:
    return Image.open(io.BytesIO(storage.get(key("a"))))


def halves(storage: FileStorage) -> tuple[np.ndarray, np.ndarray]:
    """What came in, and what it became, as shown beside each other."""
    both = np.asarray(shown(storage, keys.pair_key)).astype(int)
    width = both.shape[1] // 2
    return both[:, :width], both[:, width:]


def level(storage: FileStorage) -> int:
    return int(np.asarray(shown(storage)).mean().round())


def test_the_first_frame_is_shown_and_then_one_every_few_seconds(
    previews: Previews, held: Held, storage: FileStorage, clock: Clock
) -> None:
    previews.show(held, lambda: flat(10), LOW)
    clock.now += preview.EVERY_S / 2
    previews.show(held, lambda: flat(20), LOW)
    assert level(storage) == 10
    clock.now += preview.EVERY_S / 2
    previews.show(held, lambda: flat(30), LOW)
    assert level(storage) == 30


def test_the_last_frame_is_shown_whenever_it_comes(
    previews: Previews, held: Held, storage: FileStorage
) -> None:
    previews.show(held, lambda: flat(10), LOW)
    previews.show(held, lambda: flat(20), LOW, is_last=True)
    assert level(storage) == 20


def test_the_pair_has_what_came_in_on_the_left_and_what_it_became_on_the_right(
    previews: Previews, held: Held, storage: FileStorage
) -> None:
    previews.show(held, lambda: flat(10), LOW)
    before, after = halves(storage)
    assert before.shape == after.shape == (48, 64, 3)
    assert (before.mean().round(), after.mean().round()) == (200, 10)


def test_both_of_a_pair_are_turned_and_stretched_as_a_player_does(
    previews: Previews, held: Held, storage: FileStorage
) -> None:
    def bright_on_the_right(width: int, height: int) -> Picture:
        rgb = np.zeros((height, width, 3), np.uint8)
        rgb[:, width // 2 :] = 255
        return Picture(rgb=rgb)

    low, high = bright_on_the_right(20, 20), bright_on_the_right(80, 80)
    previews.show(held, lambda: high, low, sar=Fraction(2), rotation=90)
    for half in halves(storage):
        assert half.shape == (160, 80, 3)
        assert half[:72].min() > 200
        assert half[88:].max() < 50


def test_a_slow_storage_is_asked_so_seldom_that_the_job_hardly_feels_it(
    previews: Previews, held: Held, storage: FileStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, wall_s, spent_s = storage.put, 1000.0, 0.0

    def slow(key: str, data: bytes) -> None:
        nonlocal spent_s
        clock.now += 4.0
        spent_s += 4.0
        put(key, data)

    monkeypatch.setattr(storage, "put", slow)
    ends_at = clock.now + wall_s
    while clock.now < ends_at:
        previews.show(held, lambda: flat(10), LOW)
        clock.now += 1.0
    assert 0 < spent_s <= 1.5 * preview.TIME_SHARE_MAX * wall_s


@pytest.mark.parametrize("error", [StorageUnavailable("away"), OSError("disk full"), MemoryError()])
def test_whatever_breaks_a_preview_leaves_the_job_alone(
    previews: Previews, held: Held, storage: FileStorage, clock: Clock, error: Exception
) -> None:
    def broken(_key: str, _path: Path) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "put", broken)
        previews.show(held, lambda: flat(10), LOW)
    clock.now += preview.EVERY_S
    previews.show(held, lambda: flat(20), LOW)
    assert level(storage) == 20


def test_a_preview_is_of_bounded_size_whatever_the_frame(
    previews: Previews, held: Held, storage: FileStorage
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2160, 3840, 3), dtype=np.uint8)
    previews.show(held, lambda: Picture(rgb=noise), flat(9, 960, 540))
    assert shown(storage).size == (1280, 720)
    assert storage.stat(keys.preview_key("a")) < 1_500_000  # of noise, the worst there is
    assert shown(storage, keys.pair_key).size == (2560, 720)


@pytest.mark.parametrize(
    ("width", "height", "sar", "rotation", "wanted"),
    [
        (320, 240, Fraction(1), 0, (320, 240)),  # never enlarged
        (2560, 1440, Fraction(1), 90, (720, 1280)),
        (720, 576, Fraction(16, 15), 0, (768, 576)),
        (2880, 2304, Fraction(64, 45), 0, (1280, 720)),
        (40_000, 4, Fraction(1), 0, (1280, 1)),
    ],
)
def test_a_preview_has_the_shape_a_player_shows(
    width: int, height: int, sar: Fraction, rotation: int, wanted: tuple[int, int]
) -> None:
    rgb = small(flat(9, width, height), sar=sar, rotation=rotation).rgb
    assert rgb.shape == (wanted[1], wanted[0], 3)


def test_a_turned_frame_is_turned_as_a_player_turns_it() -> None:
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 30:] = 255  # white on the right
    turned = small(Picture(rgb=frame), rotation=90).rgb
    assert turned[:8].min() > 250  # a quarter counter-clockwise: on top
    assert turned[12:].max() < 5


def test_transparency_lies_on_white_and_exif_stays_behind(
    previews: Previews, held: Held, storage: FileStorage
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    see_through = Picture(
        rgb=np.zeros((48, 64, 3), np.uint8), alpha=np.zeros((48, 64), np.uint8), exif=exif.tobytes()
    )
    previews.show(held, lambda: see_through, see_through)
    assert level(storage) == 255
    assert min(half.min() for half in halves(storage)) == 255
    assert not shown(storage).getexif()


def test_a_shot_whose_first_frame_is_done_waits_for_the_preview_that_another_stores(
    previews: Previews, held: Held, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would tell progress, which promises a preview, before there is one."""
    is_storing, may_store, put = threading.Event(), threading.Event(), storage.put

    def slowly(key: str, content: bytes) -> None:
        is_storing.set()
        assert may_store.wait(10)
        put(key, content)

    monkeypatch.setattr(storage, "put", slowly)
    first, second = (
        threading.Thread(target=previews.show, args=(held, lambda: flat(50), LOW)) for _ in range(2)
    )
    first.start()
    assert is_storing.wait(10)
    second.start()
    second.join(0.2)
    assert second.is_alive()
    held.advance()
    previews.show(held, lambda: flat(60), LOW)  # nor does a frame after the first wait
    may_store.set()
    second.join(10)
    assert not second.is_alive()
    assert halves(storage)
    first.join(10)
