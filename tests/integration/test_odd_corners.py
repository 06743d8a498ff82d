"""The odd corners of what people send, as one table: each row through the service and on the command line.

What comes back is decoded and held against its source. What is refused is a row, too, with its type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from service.command.main import main
from service.formats import format_of
from tests.integration.corners import pictures, videos
from tests.integration.running import Running
from tests.worker.media.clips import number_of
from worker.media.checking.verify import verify

pytestmark = pytest.mark.integration
Make = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is sent under that name, with which options, and what must come of it."""

    name: str
    make: Make
    options: Mapping[str, object] = field(default_factory=dict)
    refused: str | None = None  # the error's type
    result: str | None = None  # suffix, where it is another
    lost: tuple[str, ...] = ()  # problems that `verify` has, and rightly
    notices: tuple[str, ...] = ()  # words of them
    mode: str = "RGB"  # of a picture's result
    off: float = 3.0  # levels, on the mean, of a picture reduced again: more where edges are hard
    numbers: range = range(10)  # of a video's frames
    check: Callable[[Path, Path], None] = lambda _given, _made: None


def saved(image: Image.Image, **options: object) -> Make:
    return lambda path: image.save(path, **options)


def exif_of(path: Path) -> Image.Exif:
    with Image.open(path) as image:
        return image.getexif()


def has_thumbnail_and_place(_given: Path, made: Path) -> None:
    found = exif_of(made)
    assert found.get_ifd(pictures.GPS)[2] == (52, 31, 12)
    assert found[pictures.MAKE] == "maker"
    assert pictures.THUMBNAIL in found.tobytes() or pictures.THUMBNAIL in made.read_bytes()[:4096]


def has_no_place(_given: Path, made: Path) -> None:
    found = exif_of(made)
    assert not found.get_ifd(pictures.GPS)
    assert pictures.GPS not in found
    assert found[pictures.MAKE] == "maker"


def has_v4_profile(_given: Path, made: Path) -> None:
    with Image.open(made) as image:
        assert image.info["icc_profile"] == pictures.icc_v4()


def is_grey(_given: Path, made: Path) -> None:
    """The profile makes any ink grey."""
    with Image.open(made) as image:
        colours = np.asarray(image.convert("RGB"), int)
    assert np.ptp(colours, axis=2).max() < 24
    assert np.ptp(colours) > 30


def has_timecode_dropped(_given: Path, made: Path) -> None:
    with av.open(str(made)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def has_no_tagged_place(given: Path, made: Path) -> None:
    with av.open(str(given)) as low, av.open(str(made)) as high:
        assert any("location" in name for name in low.metadata)
        assert not any("location" in name for name in high.metadata)
        assert high.metadata["title"] == "kept"


def has_all_tracks(_given: Path, made: Path) -> None:
    with av.open(str(made)) as container:
        assert len(container.streams) == 100


SCENE = pictures.scene()
PHONE = saved(SCENE, exif=pictures.exif_with_thumbnail_and_place(), quality=95)

PICTURES: dict[str, Row] = {
    "1x1": Row(name="a.png", make=saved(pictures.scene(1, 1))),
    "1 px wide": Row(name="a.png", make=saved(pictures.scene(1, 40))),
    "16384 px wide": Row(name="a.png", make=saved(pictures.scene(16_384, 4))),
    "16384 px wide JPEG": Row(
        name="a.jpg", make=saved(pictures.scene(16_384, 8), quality=95), refused="invalid_option"
    ),
    "16384 px wide JPEG as PNG": Row(
        name="a.jpg",
        make=saved(pictures.scene(16_384, 8), quality=95),
        options={"format": "png"},
        result=".png",
    ),
    "CMYK without a profile": Row(
        name="a.jpg", make=saved(SCENE.convert("CMYK"), quality=95), notices=("CMYK was converted",)
    ),
    "CMYK with its profile": Row(
        name="a.jpg",
        make=saved(SCENE.convert("CMYK"), quality=95, icc_profile=pictures.cmyk_profile()),
        notices=("CMYK was converted",),
        check=is_grey,
        off=255.0,
    ),
    "ICC v4": Row(name="a.png", make=saved(SCENE, icc_profile=pictures.icc_v4()), check=has_v4_profile),
    "EXIF with thumbnail and GPS": Row(name="a.jpg", make=PHONE, check=has_thumbnail_and_place),
    "EXIF without GPS": Row(
        name="a.jpg",
        make=PHONE,
        options={"strip": "gps"},
        check=has_no_place,
        notices=("removed from its EXIF",),
    ),
    "1-bit PNG": Row(name="a.png", make=partial(pictures.grey_of_bits, bits=1), mode="L", off=8.0),
    "2-bit PNG": Row(name="a.png", make=partial(pictures.grey_of_bits, bits=2), mode="L", off=8.0),
    "1-bit PNG with a palette": Row(name="a.png", make=saved(SCENE.quantize(2), bits=1)),
    "2-bit PNG with a palette": Row(name="a.png", make=saved(SCENE.quantize(4), bits=2)),
    "progressive JPEG": Row(name="a.jpg", make=saved(SCENE, progressive=True, quality=95)),
    "arithmetic JPEG": Row(name="a.jpg", make=pictures.arithmetic_jpeg),
    "lossy WebP": Row(name="a.webp", make=saved(SCENE, quality=90)),
    "lossless WebP": Row(name="a.webp", make=saved(SCENE, lossless=True), options={"quality": 100}),
    "BigTIFF": Row(name="a.tif", make=saved(SCENE, big_tiff=True)),
    "AVIF": Row(name="a.avif", make=saved(SCENE, quality=90)),
    "AVIF with transparency": Row(
        name="a.avif", make=saved(SCENE.convert("RGBA").rotate(30), quality=90), mode="RGBA", off=8.0
    ),
    "AVIF of a PNG": Row(name="a.png", make=saved(SCENE), options={"format": "avif"}, result=".avif"),
    "AVIF that moves": Row(
        name="a.avif",
        make=saved(SCENE, save_all=True, append_images=[SCENE.rotate(90)]),
        refused="unsupported_media",
    ),
    "HEIC": Row(name="a.heic", make=pictures.heic, refused="unsupported_media", result=".png"),
}
VIDEOS: dict[str, Row] = {
    "steps of 10 ms": Row(name="a.mkv", make=videos.ten_milliseconds),
    "negative start": Row(name="a.mkv", make=videos.negative_start, numbers=range(12)),
    "negative start in mp4": Row(name="a.mp4", make=videos.negative_start, numbers=range(2, 12)),
    "edit list": Row(name="a.mp4", make=videos.edit_list, numbers=range(10, 30)),
    "100 tracks": Row(name="a.mkv", make=videos.hundred_tracks, numbers=range(5), check=has_all_tracks),
    "timecode track": Row(name="a.mov", make=videos.timecode, check=has_timecode_dropped),
    "where it was filmed": Row(
        name="a.mp4",
        make=videos.filmed_somewhere,
        options={"strip": "gps"},
        notices=("where it was filmed",),
        check=has_no_tagged_place,
    ),
    "attached picture": Row(name="a.mp4", make=videos.attached_picture),
    "turned, of odd sizes": Row(name="a.mov", make=videos.turned_and_odd),
    "1x1": Row(name="a.mkv", make=partial(videos.sized, width=1, height=1), numbers=range(0)),
    "16384 px wide": Row(name="a.mkv", make=partial(videos.sized, width=16_384, height=16), numbers=range(3)),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_picture(service: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    row = PICTURES[case]
    if (found := through_both(service, tmp_path, row, capsys)) is None:
        return
    given, made, here = found
    assert made.read_bytes() == here.read_bytes()
    assert verify(given, made, scale=4)["problems"] == list(row.lost)
    with Image.open(given) as low, Image.open(made) as high:
        assert high.mode == row.mode
        wanted = np.asarray(ImageOps.exif_transpose(low).convert(row.mode), int)
        again = np.asarray(high.reduce(4), int)
    assert np.abs(again - wanted).mean() < row.off
    row.check(given, made)


@pytest.mark.parametrize("case", VIDEOS)
def test_a_video(service: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    row = VIDEOS[case]
    if (found := through_both(service, tmp_path, row, capsys)) is None:
        return
    given, made, here = found
    assert verify(given, made, scale=4)["problems"] == list(row.lost)
    frames, others = frames_of(made), frames_of(here)
    assert np.abs(frames - others).mean() < 1, "x264 makes other packets of tiny frames now and then"
    if row.numbers:
        assert [number_of(frame) for frame in frames] == list(row.numbers)
    row.check(given, made)


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def through_both(
    service: Running, folder: Path, row: Row, capsys: pytest.CaptureFixture[str]
) -> tuple[Path, Path, Path] | None:
    """The file, and what service and command line made of it; None where both refuse, as they must."""
    given = folder / row.name
    row.make(given)
    here = folder / f"here{row.result or given.suffix}"
    options: dict[str, object] = {"model": "bicubic", "format": format_of(here.suffix)} | dict(row.options)
    arguments = [f"--{name}={value}" for name, value in options.items() if name != "format"]
    status = main(["upscale", str(given), str(here), *arguments])
    said = capsys.readouterr().err
    if row.refused is not None:
        assert status == 1
        assert refusal(service, given, options) == row.refused
        return None
    assert status == 0, said
    job_id = service.post(given, **options)
    made = service.result(job_id, folder)
    told = service.job(job_id)["report"]["notices"]
    for words in row.notices:
        assert any(words in notice for notice in told), told
        assert words in said
    return given, made, here


def refusal(service: Running, given: Path, options: Mapping[str, Any]) -> str:
    """The type of the error, whether the API or a worker has it."""
    with given.open("rb") as file:
        data = {name: str(value) for name, value in options.items()}
        answer = service.http.post("/upscale", files={"file": (given.name, file)}, data=data)
    if answer.status_code != 202:
        return str(answer.json()["type"]).rpartition("/")[2]
    job = service.finished(answer.json()["id"])
    assert job["state"] == "failed", job
    return str(job["error"]["code"])
