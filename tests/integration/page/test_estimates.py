"""What the page tells before a long run, and the sample that it makes first."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.conftest import MODEL
from tests.integration.page.browsing import Opened, card, choose, download, reached, succeeded
from tests.integration.running import Running
from tests.worker.media.clips import Sound, make_clip, number_of
from worker.media.reading.container import open_media

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def numbers_of(path: Path) -> list[int]:
    with open_media(path) as container:
        return [number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_a_video_is_estimated_sampled_and_upscaled_by_keyboard_and_sent_once(
    opened: Opened, service: Running, tmp_path: Path
) -> None:
    page = opened.page
    clip = make_clip(tmp_path / "long.mp4", 100, width=64, height=48)
    choose(page, clip, model=MODEL, estimate=True)
    mine = reached(card(page, clip), "estimated")
    told = mine.locator("[aria-live=polite]")
    expect(told).to_contain_text(f"100 frames of 256 x 192, as mp4 (h264), by {MODEL}.")
    mine.get_by_role("button", name="Sample").focus()
    page.keyboard.press("Enter")
    expect(card(page, clip)).to_have_count(2)
    sample = reached(card(page, clip).first, "sample: succeeded")
    assert numbers_of(download(page, sample, tmp_path)) == list(range(75))
    estimated = card(page, clip).last
    expect(estimated.locator(".state")).to_have_text("estimated")
    estimated.get_by_role("button", name="Upscale").focus()
    page.keyboard.press("Enter")
    expect(estimated.get_by_role("heading")).to_be_focused()
    done = reached(card(page, clip).last, "succeeded")
    assert numbers_of(download(page, done, tmp_path)) == list(range(100))
    expect(card(page, clip)).to_have_count(2)
    assert [path for path in opened.posted if not path.endswith("/rerun")] == ["/estimate"]
    left = service.http.get("/jobs", params={"purpose": "estimate"}).json()["jobs"]
    assert clip.name not in [job["filename"] for job in left]


def test_an_estimate_tells_bytes_and_seconds_by_what_was_done_before(page: Page, tmp_path: Path) -> None:
    first = make_clip(tmp_path / "first.mp4", 30, width=64, height=48)
    choose(page, first, model=MODEL)
    succeeded(page, first)
    second = make_clip(tmp_path / "second.mp4", 30, width=64, height=48)
    choose(page, second, model=MODEL, estimate=True)
    told = reached(card(page, second), "estimated").locator(".expected")
    expect(told).to_contain_text("kB.")
    expect(told).to_contain_text("s of work")


def test_an_estimate_tells_what_will_be_converted(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "sounding.mkv", 25, width=64, height=48, sound=[Sound(codec="pcm_s16le")])
    choose(page, clip, model=MODEL, estimate=True)
    told = reached(card(page, clip), "estimated").locator(".expected")
    expect(told).to_contain_text("mkv")
    expect(told.locator("li").last).to_contain_text("pcm_s16le")


def test_estimates_are_there_when_the_page_is_opened_again_and_upscaled_together(
    page: Page, tmp_path: Path
) -> None:
    clips = [make_clip(tmp_path / f"waits-{name}.mp4", 10, width=64, height=48) for name in "ab"]
    choose(page, *clips, model="bicubic", estimate=True)
    for clip in clips:
        reached(card(page, clip), "estimated")
    page.reload()
    for clip in clips:
        reached(card(page, clip), "estimated")
    page.get_by_role("button", name="that were estimated").click()
    for clip in clips:
        succeeded(page, clip)
        expect(card(page, clip)).to_have_count(1)


def test_all_of_a_video_is_made_from_its_sample(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "sampled.mp4", 100, width=64, height=48)
    choose(page, clip, model="bicubic", estimate=True)
    reached(card(page, clip), "estimated").get_by_role("button", name="Sample").click()
    sample = reached(card(page, clip).first, "sample: succeeded")
    sample.get_by_role("button", name="Upscale all of it").click()
    expect(card(page, clip)).to_have_count(3)
    reached(card(page, clip).first, "succeeded")


def test_what_can_not_be_upscaled_says_so_when_it_is_estimated(page: Page, tmp_path: Path) -> None:
    clip = tmp_path / "broken.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    choose(page, clip, estimate=True)
    mine = reached(card(page, clip), "failed")
    expect(mine.locator(".error")).to_contain_text("Check that it plays, and export it again.")
    expect(mine.get_by_role("button", name="Upscale")).to_be_hidden()
