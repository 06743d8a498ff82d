"""A browser for all tests of the page, and the page in it."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.integration.page.browsing import Opened
from tests.integration.running import Running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright leaves a loop running in this thread: another module's test could run none of its own.
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium: scripts/chromium installs it where apt and root are at hand")
    expect.set_options(timeout=20_000)  # a busy machine answers late
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
def opened(context: BrowserContext, service: Running) -> Iterator[Opened]:
    opened = Opened(context, service)
    yield opened
    opened.check()


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened.page


@pytest.fixture
def refused(context: BrowserContext, service: Running) -> Iterator[Page]:
    """The page where the service refuses what is sent."""
    opened = Opened(context, service, "/upscale", "/estimate")
    yield opened.page
    opened.check()
