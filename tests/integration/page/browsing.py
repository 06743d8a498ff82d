"""The page as tests use it: opened in a browser, given files, its cards found."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.integration.running import Running

JOB_MS = 90_000


class Opened:
    """The page, which must keep to its own host, raise nothing and have nothing to complain of.

    refused   paths whose answer may be an error, which a browser notes as its own
    """

    def __init__(self, context: BrowserContext, service: Running, *refused: str) -> None:
        self._service, self._refused = service, refused
        self.wrong: list[str] = []
        self.posted: list[str] = []  # paths, in the order in which they were
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.wrong.append(f"raised {error}"))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)
        self.page.goto(service.url)

    def check(self) -> None:
        assert not self.wrong, self.wrong

    def _hear(self, message: ConsoleMessage) -> None:
        path = urlsplit(message.location["url"]).path
        if message.type in ("error", "warning") and path not in self._refused:
            self.wrong.append(f"{message.type} at {path}: {message.text}")

    def _see(self, request: Any) -> None:
        if urlsplit(request.url).scheme not in ("blob", "data") and not request.url.startswith(
            self._service.url
        ):
            self.wrong.append(f"asked for {request.url}")
        if request.method == "POST":
            self.posted.append(urlsplit(request.url).path)


def make_picture(path: Path, width: int, height: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def choose(page: Page, *files: Path, model: str | None = None, estimate: bool = False) -> None:
    """Have the page send them, videos at once unless they are to be estimated first."""
    if model is not None:
        page.get_by_role("combobox", name="Model", exact=True).select_option(model)
    page.get_by_label("Estimate videos first").set_checked(estimate)
    page.set_input_files("input[name=file]", list(files))


def cards(page: Page, name: str) -> Locator:
    return page.locator("job-card").filter(has=page.get_by_role("heading", name=name, exact=True))


def card(page: Page, file: Path) -> Locator:
    return cards(page, file.name)


def reached(found: Locator, state: str) -> Locator:
    """The card, once its job is at that."""
    expect(found.locator(".state")).to_have_text(state, timeout=JOB_MS)
    return found


def succeeded(page: Page, file: Path) -> Locator:
    return reached(card(page, file), "succeeded")


def download(page: Page, found: Locator, folder: Path) -> Path:
    """What the card's link gives, under the name that it suggests."""
    with page.expect_download() as given:
        found.get_by_role("link", name="Download").click()
    path = folder / given.value.suggested_filename
    given.value.save_as(path)
    return path
