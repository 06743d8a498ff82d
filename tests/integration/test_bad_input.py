"""What a service says to files it can do nothing with: refused at once, or failed with the reason."""

import io
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.integration.running import Running
from tests.service.api.samples import png_that_declares
from tests.worker.media.clips import make_clip, make_sound_alone

pytestmark = pytest.mark.integration
PLANNING_S = 5.0


def giant(folder: Path) -> bytes:
    small = make_clip(folder / "giant.avi", 3, codec="mpeg4", width=4000, height=48).read_bytes()
    sides = (4000).to_bytes(4, "little") + (48).to_bytes(4, "little")
    assert sides in small
    return small.replace(sides, (100_000).to_bytes(4, "little") * 2)


def ten_hours(folder: Path) -> bytes:
    times = [0, 40, 36_000_000]
    return make_clip(folder / "long.mkv", 3, times=times, time_base=Fraction(1, 1000)).read_bytes()


def truncated(folder: Path) -> bytes:
    whole = make_clip(folder / "whole.mp4", 30).read_bytes()
    return whole[: len(whole) // 2]


def sound_alone(folder: Path) -> bytes:
    return make_sound_alone(folder / "sound.mkv").read_bytes()


def zero_frames(folder: Path) -> bytes:
    full = make_clip(folder / "full.mkv", 2, codec="mpeg4")
    with av.open(str(full)) as given, av.open(str(folder / "none.mkv"), "w") as output:
        output.add_stream_from_template(given.streams.video[0])
        output.start_encoding()
    return (folder / "none.mkv").read_bytes()


def pages(_: Path) -> bytes:
    out = io.BytesIO()
    found = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    found[0].save(out, "TIFF", save_all=True, append_images=found[1:])
    return out.getvalue()


def clip(folder: Path) -> bytes:
    return make_clip(folder / "good.mp4", 3).read_bytes()


REFUSED: dict[str, tuple[Callable[[Path], bytes], dict[str, str], int, str]] = {
    "empty": (lambda _: b"", {}, 422, "empty_upload"),
    "not media": (lambda _: b"just some text, nothing to see" * 9, {}, 415, "not_media"),
    "giant picture": (lambda _: png_that_declares(100_000, 100_000), {}, 422, "frame_too_large"),
    "unknown model": (clip, {"model": "esrgan-9000"}, 422, "unknown_model"),
    "unknown scale": (clip, {"scale": "5"}, 422, "invalid_option"),
    "unknown size": (clip, {"size": "16k"}, 422, "invalid_option"),
    "no height": (clip, {"height": "0"}, 422, "invalid_option"),
    "an odd height of a video": (clip, {"height": "135"}, 422, "invalid_option"),
    "unknown codec": (clip, {"codec": "vp9"}, 422, "invalid_option"),
    "unknown option": (clip, {"sharpness": "11"}, 422, "invalid_option"),
}
FAILED: dict[str, tuple[Callable[[Path], bytes], str, dict[str, str], str]] = {
    "truncated": (truncated, "clip.mp4", {}, "broken_media"),
    "a signature and no more": (
        lambda _: bytes.fromhex("1a45dfa3") + bytes(999),
        "a.mkv",
        {},
        "broken_media",
    ),
    "sound alone": (sound_alone, "clip.mkv", {}, "no_video"),
    "zero frames": (zero_frames, "clip.mkv", {}, "broken_media"),
    "giant video": (giant, "clip.avi", {}, "frame_too_large"),
    "ten hours": (ten_hours, "clip.mkv", {}, "too_long"),
    "pages": (pages, "a.tif", {}, "unsupported_media"),
    "start after the end": (clip, "clip.mp4", {"start": "60"}, "invalid_option"),
    "a picture with a codec": (lambda _: _png(), "a.png", {"codec": "h264"}, "invalid_option"),
    "a video too small for the size": (clip, "clip.mp4", {"size": "1080p"}, "invalid_option"),
    "a picture too small for the width": (lambda _: _png(), "a.png", {"width": "33"}, "invalid_option"),
    "a video as a picture": (clip, "clip.mp4", {"format": "png"}, "invalid_option"),
}


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_it_becomes_a_job(service: Running, tmp_path: Path, case: str) -> None:
    make, options, status, code = REFUSED[case]
    answer = service.http.post("/upscale", files={"file": ("upload", make(tmp_path))}, data=options)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"].endswith(code)
    for name, value in options.items():
        assert problem["field"] == name
        assert str(problem.get("value", value)) == value  # an option nobody knows is named, its value is not


@pytest.mark.parametrize("case", FAILED)
def test_a_job_that_cannot_be_done_fails_in_planning_and_says_why(
    service: Running, tmp_path: Path, case: str
) -> None:
    make, name, options, code = FAILED[case]
    (tmp_path / name).write_bytes(make(tmp_path))
    worker = service.worker_pid()
    posted_at = time.monotonic()
    answer = service.http.post(
        "/upscale", files={"file": (name, (tmp_path / name).read_bytes())}, data=options
    )
    if answer.status_code == 422:  # what the API can tell by itself need not wait for a worker
        assert answer.json()["type"].endswith(code)
        return
    job = service.finished(answer.json()["id"])
    assert job["state"] == "failed"
    assert job["error"]["code"] == code, job["error"]
    assert job["error"]["message"]
    assert time.monotonic() - posted_at < PLANNING_S
    assert service.worker_pid() == worker


def test_a_wrong_extension_does_no_harm(service: Running, tmp_path: Path) -> None:
    path = tmp_path / "picture.mp4"
    path.write_bytes(_png())
    assert service.finished(service.post(path))["state"] == "succeeded"
