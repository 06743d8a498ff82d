"""Before and after: of a job that runs, frame beside frame, and of one that is done, file beside file."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.integration.conftest import MODEL
from tests.integration.page.browsing import Opened, card, choose, make_picture, reached, succeeded
from tests.integration.running import Running, eventually
from tests.worker.media.clips import make_clip, number_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
FRAMES = 400
TIMES = "videos => videos.map(video => video.currentTime)"


def frame_numbers(view: Locator) -> list[int]:
    """Of the frame that came in, and of the one that it became."""
    drawn = view.locator(".before canvas, .after canvas").evaluate_all(
        "all => all.sort(a => a.closest('.before') ? -1 : 1).map(canvas => canvas.toDataURL())"
    )
    pictures = [Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2]))) for each in drawn]
    return [number_of(np.asarray(picture.convert("RGB"))) for picture in pictures]


def test_a_picture_is_compared(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "compared.png", 40, 30)
    choose(page, picture)
    mine = succeeded(page, picture)
    mine.get_by_role("button", name="Compare").click()
    view = mine.locator("before-after")
    widths = view.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert sorted(widths) == [40, 160]
    split = view.get_by_role("slider", name="Before and after")
    expect(split).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(view).to_have_css("--split", "49%")


def test_a_video_is_compared_while_it_runs(page: Page, service: Running, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "watched.mp4", FRAMES)
    choose(page, clip)
    mine = card(page, clip)

    def jobs() -> list[dict[str, Any]]:
        return [each for each in service.http.get("/jobs").json()["jobs"] if each["filename"] == clip.name]

    eventually(jobs, 60)  # the card is there before the upload is
    [job] = jobs()
    eventually(lambda: service.job(job["id"])["links"]["preview"], 60)
    view = mine.locator("before-after")
    with service.worker_stopped():
        expect(view).to_be_visible()
        expect(mine.locator(".state")).to_have_text("running")
        before, after = frame_numbers(view)
        assert before == after < FRAMES - 1
        expect(mine.locator(".pace")).to_contain_text(f"of {FRAMES} frames")
        view.get_by_role("slider", name="Before and after").fill("20")
        view.get_by_label("Zoom").select_option("4x")
    shown = [before, after]
    eventually(lambda: frame_numbers(view) != shown, 60)
    before, after = frame_numbers(view)
    assert before == after
    expect(view).to_have_css("--split", "20%")
    expect(view.get_by_label("Zoom")).to_have_value("4")
    mine.get_by_role("button", name="Cancel").click()
    reached(mine, "cancelled")


def test_a_zoomed_view_is_moved_by_keys(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "moved.png", 40, 30)
    choose(page, picture, model="bicubic")
    mine = succeeded(page, picture)
    mine.get_by_role("button", name="Compare").click()
    mine.get_by_label("Zoom").select_option("4x")
    layers = mine.locator(".layers")
    was = layers.get_attribute("style")
    page.keyboard.press("Shift+Tab")  # from the edge to the view
    page.keyboard.press("ArrowRight")
    expect(layers).not_to_have_attribute("style", was or "")


def test_a_video_plays_beside_its_original(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "played.mp4", 100, width=64, height=48)
    choose(page, clip, model=MODEL)
    mine = succeeded(page, clip)
    mine.get_by_role("button", name="Compare").click()
    mine.get_by_label("side by side").check()
    videos = mine.locator("video")
    mine.get_by_role("slider", name="Time").fill("0.4")
    eventually(lambda: videos.evaluate_all(TIMES) == [0.4, 0.4], 10, hint=lambda: videos.evaluate_all(TIMES))
    mine.get_by_role("button", name="Play").click()
    eventually(lambda: min(videos.evaluate_all(TIMES)) > 1.5, 20, hint=lambda: videos.evaluate_all(TIMES))
    apart = np.ptp(videos.evaluate_all(TIMES))
    assert apart < 0.08, "they run apart"
    mine.get_by_role("button", name="Pause").click()
    eventually(lambda: np.ptp(videos.evaluate_all(TIMES)) == 0, 10, hint=lambda: videos.evaluate_all(TIMES))


def test_a_piece_of_a_video_is_compared_with_just_that_piece(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "piece.mp4", 100, width=64, height=48)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("From second").fill("2")
    choose(page, clip, model="bicubic")
    mine = succeeded(page, clip)
    mine.get_by_role("button", name="Compare").click()
    mine.get_by_role("slider", name="Time").fill("0.4")
    before, after = mine.locator(".before video"), mine.locator(".after video")
    now = "video => video.currentTime"
    eventually(lambda: (before.evaluate(now), after.evaluate(now)) == (2.4, 0.4), 10)


def test_where_a_file_can_not_be_played_a_frame_is_compared(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "masters.mkv", 10, width=64, height=48, codec="ffv1")
    choose(page, clip, model="bicubic")
    mine = succeeded(page, clip)
    page.reload()
    mine.get_by_role("button", name="Compare").click()
    expect(mine.locator(".error")).to_contain_text("here is the last frame")
    assert frame_numbers(mine.locator("before-after")) == [9, 9]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_axe_finds_nothing_to_complain_of(
    browser: Browser, service: Running, tmp_path: Path, scheme: str, width: int
) -> None:
    picture = make_picture(tmp_path / f"{scheme}.png", 40, 30)
    clip = make_clip(tmp_path / f"{scheme}.mp4", 10, width=64, height=48)
    style, size = {"color_scheme": scheme}, {"width": width, "height": 800}
    # axe is a script that is put into the page, which the page's policy rightly forbids.
    with browser.new_context(viewport=size, bypass_csp=True, **style) as context:
        opened = Opened(context, service)
        page = opened.page
        choose(page, picture, clip, model="bicubic", estimate=True)
        reached(card(page, clip), "estimated")
        mine = succeeded(page, picture)
        mine.get_by_role("button", name="Compare").click()
        expect(mine.locator("before-after")).to_be_visible()
        for summary in page.locator("summary").all():
            if summary.is_visible():
                summary.click()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it does not fit"
        opened.check()
