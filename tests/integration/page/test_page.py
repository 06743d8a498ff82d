"""The page at `/` in a real browser: what a person sends there, and what becomes of it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.access import keys
from service.objects.files import FileStorage
from tests.integration.page.browsing import Opened, card, choose, download, make_picture, reached, succeeded
from tests.integration.running import Running
from tests.servers import free_ports
from tests.worker.media.clips import make_clip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
ADVICE = Path(__file__).parents[3] / "service/api/static/advice.js"
ERRORS = Path(__file__).parents[3] / "docs/errors.md"
# In `most` the largest number of uploads that were under way together.
COUNTS_UPLOADS = """
    const {open} = XMLHttpRequest.prototype;
    let count = 0;
    window.most = 0;
    XMLHttpRequest.prototype.open = function (...given) {
        window.most = Math.max(window.most, ++count);
        this.addEventListener("load", () => { count -= 1; });
        open.apply(this, given);
    };
"""
# The page looks at all jobs, and hears only then that its upload has become one of them.
ANSWERS_LATE = """
    const {set} = Object.getOwnPropertyDescriptor(XMLHttpRequestEventTarget.prototype, "onload");
    Object.defineProperty(XMLHttpRequest.prototype, "onload", {set(hear) {
        set.call(this, async event => {
            document.dispatchEvent(new Event("visibilitychange"));
            await new Promise(go => setTimeout(go, 1500));
            hear.call(this, event);
        });
    }});
"""


def test_a_picture_is_enlarged_and_deleted(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "enlarged.png", 40, 30)
    choose(page, picture)
    mine = succeeded(page, picture)
    assert download(page, mine, tmp_path).name == "enlarged_x4.png"
    mine.get_by_text("What was done").click()
    expect(mine.get_by_text("By real-lite")).to_be_visible()  # the picture is noise
    mine.get_by_role("button", name="Delete").click()
    expect(mine).to_have_count(0)
    expect(page.get_by_role("heading", name="Jobs")).to_be_focused()


def test_six_files_at_once_and_the_page_opened_again(page: Page, tmp_path: Path) -> None:
    """Guards against streams that take all connections a browser has to one host."""
    files = [make_picture(tmp_path / f"one-of-six-{index}.png", 24, 16) for index in range(6)]
    page.add_init_script(COUNTS_UPLOADS)
    page.reload()
    choose(page, *files, model="bicubic")
    for file in files:
        succeeded(page, file)
    assert page.evaluate("most") == 2
    page.reload()
    for file in files:
        expect(card(page, file).get_by_role("link", name="Download")).to_be_visible()


def test_a_job_that_is_listed_before_its_upload_is_answered_is_shown_once(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "answered-late.png", 24, 16)
    page.add_init_script(ANSWERS_LATE)
    page.reload()
    choose(page, picture, model="bicubic")
    succeeded(page, picture)
    expect(card(page, picture)).to_have_count(1)


def test_a_video_is_cancelled(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "unwanted.mp4", 400)
    choose(page, clip)
    mine = reached(card(page, clip), "running")
    mine.get_by_role("button", name="Cancel").click()
    expect(mine.locator(".state")).to_have_text("cancelled")


def test_a_file_that_was_upscaled_is_upscaled_again_as_the_form_says_now(
    opened: Opened, tmp_path: Path
) -> None:
    page, picture = opened.page, make_picture(tmp_path / "twice.png", 24, 16)
    choose(page, picture, model="bicubic")
    first = succeeded(page, picture)
    page.get_by_label("Size").select_option("2 times")
    first.get_by_role("button", name="Again").click()
    expect(card(page, picture)).to_have_count(2)
    second = reached(card(page, picture).first, "succeeded")
    assert download(page, second, tmp_path).name == "twice_x2.png"
    assert opened.posted.count("/upscale") == 1


def test_what_is_refused_says_why_and_what_to_do(refused: Page, tmp_path: Path) -> None:
    file = tmp_path / "letter.png"
    file.write_text("Dear reader")
    choose(refused, file)
    error = card(refused, file).locator(".error")
    expect(error).to_contain_text("begins like no video or picture")
    expect(error).to_contain_text("Send mp4, mov")


def test_advice_is_for_errors_that_there_are() -> None:
    advised = re.findall(r"^  (\w+): ", ADVICE.read_text(), re.MULTILINE)
    assert len(advised) > 15
    assert set(advised) <= set(re.findall(r"^\| `(\w+)` \|", ERRORS.read_text(), re.MULTILINE))


def test_a_key_is_asked_for_and_opens_pictures_and_downloads_too(browser: Browser, tmp_path: Path) -> None:
    """A service of its own, as the others ask for none."""
    picture = make_picture(tmp_path / "locked.png", 40, 30)
    key = keys.create(FileStorage(tmp_path / "data" / "objects"), "ann")
    with (
        Running(tmp_path / "data", free_ports(1)[0], auth="keys") as service,
        browser.new_context() as context,
    ):
        opened = Opened(context, service, "/jobs", "/models")  # which are refused without a key
        page = opened.page
        entry = page.get_by_label("This service asks for a key")
        entry.fill(key[:-1] + ("A" if key[-1] != "A" else "B"))
        page.get_by_role("button", name="Enter").click()
        expect(page.locator("#problem")).to_have_text("The service does not know this key.")
        entry.fill(key)
        page.get_by_role("button", name="Enter").click()
        expect(entry).to_be_hidden()
        choose(page, picture, model="bicubic")
        mine = succeeded(page, picture)
        assert download(page, mine, tmp_path).read_bytes().startswith(b"\x89PNG")
        mine.get_by_role("button", name="Compare").click()
        expect(mine.locator("before-after")).to_be_visible()
        page.reload()
        expect(card(page, picture)).to_be_visible()
        page.get_by_role("button", name="Forget the key").click()
        expect(entry).to_be_visible()
        expect(card(page, picture)).to_have_count(0)
        opened.check()
