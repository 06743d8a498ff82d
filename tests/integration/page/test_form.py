"""How files come to the page, and what its form says of them."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.integration.page.browsing import card, cards, choose, download, make_picture, reached, succeeded
from tests.integration.running import Running
from tests.worker.media.clips import make_clip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
GPS = 0x8825
PASTES = """text => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """Address of a server that has what lies in the test's folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them below, and a letter."""
    (tmp_path / "holiday" / "below").mkdir(parents=True)
    make_picture(tmp_path / "holiday" / "above.png", 24, 16)
    make_picture(tmp_path / "holiday" / "below" / "below.png", 24, 16)
    (tmp_path / "holiday" / "letter.txt").write_text("Dear reader")
    return tmp_path / "holiday"


def options_of(service: Running, name: str) -> dict[str, Any]:
    """Those of the one job of that file that are not left to the service."""
    [job] = [job for job in service.http.get("/jobs").json()["jobs"] if job["filename"] == name]
    return {option: value for option, value in job["options"].items() if value is not None}


def drop(page: Page, *paths: Path) -> None:
    """As a file manager does, folders with all that lies in them."""
    box = page.locator("#drop").bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {
            "type": kind,
            "x": box["x"] + 5,
            "y": box["y"] + 5,
            "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1},
        }
        devtools.send("Input.dispatchDragEvent", event)


@pytest.mark.parametrize("how", ["dropped", "chosen"])
def test_of_a_folder_all_pictures_and_videos_are_taken(page: Page, folder: Path, how: str) -> None:
    page.get_by_role("combobox", name="Model", exact=True).select_option("bicubic")
    if how == "dropped":
        drop(page, folder)
    else:
        page.set_input_files("#folder", folder)
    for name in ("above.png", "below.png"):
        reached(cards(page, name).first, "succeeded")
    expect(page.locator("#note")).to_have_text("1 file that is no picture or video was left out.")
    expect(cards(page, "letter.txt")).to_have_count(0)


def test_files_are_dropped(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "dropped.png", 24, 16)
    page.get_by_role("combobox", name="Model", exact=True).select_option("bicubic")
    drop(page, picture)
    succeeded(page, picture)


@pytest.mark.parametrize("how", ["pasted", "typed"])
def test_a_file_is_fetched_from_an_address(page: Page, elsewhere: str, tmp_path: Path, how: str) -> None:
    picture = make_picture(tmp_path / f"{how}.png", 24, 16)
    address = f"{elsewhere}/{picture.name}"
    page.get_by_role("combobox", name="Model", exact=True).select_option("bicubic")
    if how == "pasted":
        page.evaluate(PASTES, address)
    else:
        page.get_by_label("Address").fill(address)
        page.get_by_role("button", name="Fetch").click()
    succeeded(page, picture)
    expect(card(page, picture)).to_have_count(1)


def test_an_address_that_is_refused_says_what_to_do(refused: Page) -> None:
    refused.evaluate(PASTES, "http://169.254.169.254/secret.png")
    error = cards(refused, "secret.png").locator(".error")
    expect(error).to_contain_text("Give an https address that anyone can open.")


def test_where_a_picture_was_taken_is_left_out(page: Page, tmp_path: Path) -> None:
    picture, exif = tmp_path / "taken.jpg", Image.Exif()
    exif.get_ifd(GPS)[2] = (52.0, 31.0, 12.0)
    Image.new("RGB", (24, 16), "grey").save(picture, exif=exif)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Leave out where it was taken").check()
    choose(page, picture, model="bicubic")
    mine = succeeded(page, picture)
    with Image.open(download(page, mine, tmp_path)) as result:
        assert not result.getexif().get_ifd(GPS)
    mine.get_by_text("What was done").click()
    expect(mine.get_by_text("removed from its EXIF")).to_be_visible()


def test_what_is_for_videos_is_asked_of_videos_alone(page: Page, service: Running, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "told.mp4", 20, width=64, height=48)
    picture = make_picture(tmp_path / "told.png", 24, 16)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Size").select_option("3 times")
    page.get_by_label("Interlaced").select_option("one of each field")
    page.get_by_label("From second").fill("0.2")
    page.get_by_role("spinbutton", name="Seconds", exact=True).fill("0.4")
    page.get_by_label("Codec").select_option("hevc")
    page.get_by_label("Format").first.select_option("mkv")
    page.get_by_label("Format").last.select_option("webp")
    page.get_by_label("Quality").fill("70")
    page.get_by_role("spinbutton", name="Strength").fill("50")
    choose(page, clip, picture, model="bicubic")
    assert download(page, succeeded(page, clip), tmp_path).suffix == ".mkv"
    assert download(page, succeeded(page, picture), tmp_path).suffix == ".webp"
    of_both = {"model": "bicubic", "scale": 3, "quality": 70, "strength": 50}
    of_video = {"deinterlace": "fields", "start": 0.2, "duration": 0.4, "codec": "hevc", "format": "mkv"}
    assert options_of(service, clip.name) == of_both | of_video
    assert options_of(service, picture.name) == of_both | {"format": "webp"}


def test_sides_in_pixels_stand_for_a_size(page: Page, tmp_path: Path) -> None:
    picture = make_picture(tmp_path / "sides.png", 24, 16)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Width").fill("72")
    choose(page, picture, model="bicubic")
    with Image.open(download(page, succeeded(page, picture), tmp_path)) as result:
        assert result.size == (72, 48)


def test_each_model_has_its_line(page: Page, service: Running) -> None:
    page.get_by_text("The models").click()
    for model in service.http.get("/models").json()["models"]:
        expect(page.locator("#models")).to_contain_text(model["name"])
        expect(page.locator("#models")).to_contain_text(model["summary"])
    page.get_by_role("combobox", name="Model", exact=True).select_option("bicubic")
    expect(page.locator("#about-model")).to_contain_text("Bicubic interpolation")
