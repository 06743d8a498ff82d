"""The page at `/` in a real browser: what a person sees and does there."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from service.access import keys
from service.objects.files import FileStorage
from tests.integration.conftest import MODEL
from tests.integration.running import Running
from tests.servers import free_ports
from tests.worker.media.clips import make_clip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
JOB_MS = 90_000
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium: scripts/chromium installs it where apt and root are at hand")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.set_default_timeout(20_000)
        yield context


@pytest.fixture
def page(context: BrowserContext, service: Running) -> Page:
    return opened(context, service)


def make_picture(path: Path, width: int, height: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def opened(context: BrowserContext, service: Running) -> Page:
    """The page, which must keep to its own host and raise nothing."""
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page raised {error}"))
    page.on("request", lambda request: _at_home(request.url, service))
    page.goto(service.url)
    return page


def _at_home(url: str, service: Running) -> None:
    assert urlsplit(url).scheme in ("blob", "data") or url.startswith(service.url), url


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("input[name=file]", list(files))


def card(page: Page, file: Path) -> Locator:
    return page.locator("job-card").filter(has=page.get_by_role("heading", name=file.name, exact=True))


def succeeded(page: Page, file: Path) -> Locator:
    found = card(page, file)
    expect(found.locator(".state")).to_have_text("succeeded", timeout=JOB_MS)
    return found


def test_a_picture_is_enlarged_compared_and_deleted(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "compared.png", 40, 30)
    choose(page, picture)
    mine = succeeded(page, picture)
    with page.expect_download() as download:
        mine.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "compared_x4.png"
    mine.get_by_role("button", name="Compare").click()
    view = mine.locator("before-after")
    widths = view.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert sorted(widths) == [40, 160]
    split = view.get_by_role("slider", name="Before and after")
    expect(split).to_be_focused()
    split.fill("20")
    expect(view).to_have_css("--split", "20%")
    mine.get_by_text("What was done").click()
    expect(mine.get_by_text("By teco-lite")).to_be_visible()
    mine.get_by_role("button", name="Delete").click()
    expect(mine).to_have_count(0)


def test_a_video_plays_beside_its_original(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "played.mp4", 20, width=64, height=48)
    page.get_by_label("Model").select_option(MODEL)
    choose(page, clip)
    mine = succeeded(page, clip)
    mine.get_by_role("button", name="Compare").click()
    mine.get_by_label("side by side").check()
    mine.get_by_role("slider", name="Time").fill("0.4")
    times = "videos => videos.map(video => video.currentTime)"
    page.wait_for_timeout(500)
    assert mine.locator("video").evaluate_all(times) == [0.4, 0.4]


def test_six_files_at_once_and_the_page_opened_again(page: Page, tmp_path: Path) -> None:
    """Guards against streams that take all connections a browser has to one host."""
    files = [make_picture(tmp_path / f"one-of-six-{index}.png", 24, 16) for index in range(6)]
    page.add_init_script(COUNTS_UPLOADS)
    page.reload()
    page.get_by_label("Model").select_option("bicubic")
    choose(page, *files)
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
    page.get_by_label("Model").select_option("bicubic")
    choose(page, picture)
    succeeded(page, picture)
    expect(card(page, picture)).to_have_count(1)


def test_a_video_is_cancelled(page: Page, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "unwanted.mp4", 400)
    choose(page, clip)
    expect(card(page, clip).locator(".state")).to_have_text("running", timeout=JOB_MS)
    card(page, clip).get_by_role("button", name="Cancel").click()
    expect(card(page, clip).locator(".state")).to_have_text("cancelled")


def test_what_is_refused_says_why(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "letter.png"
    file.write_text("Dear reader")
    choose(page, file)
    expect(card(page, file).locator(".error")).to_contain_text("begins like no video or picture")


def test_a_key_is_asked_for_and_opens_pictures_and_downloads_too(browser: Browser, tmp_path: Path) -> None:
    """A service of its own, as the others ask for none."""
    picture = make_picture(tmp_path / "locked.png", 40, 30)
    key = keys.create(FileStorage(tmp_path / "data" / "objects"), "ann")
    with (
        Running(tmp_path / "data", free_ports(1)[0], auth="keys") as service,
        browser.new_context() as context,
    ):
        page = opened(context, service)
        entry = page.get_by_label("This service asks for a key")
        entry.fill(key[:-1] + ("A" if key[-1] != "A" else "B"))
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_role("alert")).to_have_text("The service does not know this key.")
        entry.fill(key)
        page.get_by_role("button", name="Enter").click()
        page.get_by_label("Model").select_option("bicubic")
        expect(entry).to_be_hidden()
        choose(page, picture)
        mine = succeeded(page, picture)
        with page.expect_download() as download:
            mine.get_by_role("link", name="Download").click()
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
        mine.get_by_role("button", name="Compare").click()
        expect(mine.locator("before-after")).to_be_visible()
        page.reload()
        expect(card(page, picture)).to_be_visible()
        page.get_by_role("button", name="Forget the key").click()
        expect(entry).to_be_visible()
        expect(card(page, picture)).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_axe_finds_nothing_to_complain_of(
    browser: Browser, service: Running, tmp_path: Path, scheme: str, width: int
) -> None:
    picture = make_picture(tmp_path / f"{scheme}.png", 40, 30)
    style, size = {"color_scheme": scheme}, {"width": width, "height": 800}
    # axe is a script that is put into the page, which the page's policy rightly forbids.
    with browser.new_context(viewport=size, bypass_csp=True, **style) as context:
        page = opened(context, service)
        page.get_by_label("Model").select_option("bicubic")
        choose(page, picture)
        mine = succeeded(page, picture)
        mine.get_by_role("button", name="Compare").click()
        expect(mine.locator("before-after")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it does not fit"
