"""POST /upscale with `url=`: what is fetched becomes a job, and what only we could reach is not asked."""

import asyncio
import dataclasses
import hashlib
import socket
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from service.api.intake import fetching
from service.jobs import keys
from service.outgoing import Outgoing
from tests.service.api.harness import LIMIT_BYTES, Service, running
from tests.service.api.samples import CLIP

METADATA = "169.254.169.254"  # where clouds tell their machines secrets
NUMBERS = {
    "clips.example": ["127.0.0.1"],
    "inside.example": [METADATA],
    "both.example": ["93.184.216.34", "127.0.0.1"],
}


class Elsewhere:
    """A server of others, and the name server that leads to it."""

    def __init__(self) -> None:
        self.port = 0
        self.hosts: list[str] = []
        self.resolved: list[str] = []
        routes = {
            "/films/H%C3%B6hle.mp4": self._film,
            "/inside": self._to(f"https://{METADATA}/latest/meta-data"),
            "/named": self._to("https://inside.example/x"),
            "/loop": self._to("/loop"),
            "/file": self._to("file:///etc/passwd"),
            "/moved": self._to("/films/H%C3%B6hle.mp4"),
            "/gone": self._gone,
            "/endless": self._endless,
            "/large": self._large,
            "/text": self._text,
            "/cut": self._cut,
        }
        paths = {path.replace("%C3%B6", "ö"): answer for path, answer in routes.items()}
        self.app = Starlette(routes=[Route(path, answer) for path, answer in paths.items()])

    def url(self, path: str, host: str = "clips.example") -> str:
        return f"http://{host}:{self.port}{path}"

    def resolve(self, host: str, _port: int) -> list[str]:
        self.resolved.append(host)
        return NUMBERS.get(host, [host])

    def _to(self, address: str):
        async def answer(_request: Request) -> Response:
            return RedirectResponse(address)

        return answer

    async def _film(self, request: Request) -> Response:
        self.hosts.append(request.headers["host"])
        return Response(CLIP, media_type="video/mp4")

    async def _gone(self, _request: Request) -> Response:
        return Response(CLIP, status_code=404)

    async def _text(self, _request: Request) -> Response:
        return Response(b"<html>please log in</html>")

    async def _large(self, _request: Request) -> Response:
        return Response(CLIP + bytes(LIMIT_BYTES))

    async def _cut(self, _request: Request) -> Response:
        async def half():
            yield CLIP[:500]

        return StreamingResponse(half(), headers={"Content-Length": str(len(CLIP))})

    async def _endless(self, _request: Request) -> Response:
        async def film():
            yield CLIP
            while True:
                yield bytes(10_000)
                await asyncio.sleep(0)

        return StreamingResponse(film())


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    elsewhere = Elsewhere()
    server = running(elsewhere.app)
    elsewhere.port = server.port
    with server:
        yield elsewhere


def post(
    service: Service, url: str, *, elsewhere: Elsewhere | None, allowed: str = "127.0.0.0/8", **fields: str
):
    app = service.app
    if elsewhere is not None:
        outgoing = Outgoing(allowed, resolve=elsewhere.resolve)
        app.state.services = dataclasses.replace(app.state.services, outgoing=outgoing)

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
            form = {name: (None, value) for name, value in {"url": url, **fields}.items()}
            return await http.post("/upscale", files=form)

    return asyncio.run(main())


def code(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).removeprefix("/problems/")


@pytest.mark.parametrize("path", ["/films/H%C3%B6hle.mp4", "/moved"])
def test_what_an_address_leads_to_becomes_a_job(service: Service, elsewhere: Elsewhere, path: str) -> None:
    answer = post(service, elsewhere.url(path), elsewhere=elsewhere, scale="2")
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["options"]["scale"]) == ("video", 2)
    assert path == "/moved" or job["filename"] == "Höhle.mp4"
    assert (job["size_bytes"], job["sha256"]) == (len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert service.storage.get(keys.input_key(job["id"])) == CLIP


def test_the_connection_goes_to_the_number_that_was_judged(service: Service, elsewhere: Elsewhere) -> None:
    """Only our name server knows the name, and it is asked once."""
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("clips.example", 80)
    url = elsewhere.url("/films/H%C3%B6hle.mp4")
    assert post(service, url, elsewhere=elsewhere).status_code == 202
    assert elsewhere.resolved == ["clips.example"]
    assert elsewhere.hosts == [f"clips.example:{elsewhere.port}"]


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        f"https://{METADATA}/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://10.0.0.1/x",
        "https://clips.example/x",
        "https://inside.example/x",
        "https://both.example/x",
        "http://93.184.216.34/x",
        "file:///etc/passwd",
        "https://user:secret@example.com/x",
        "no address",
    ],
)
def test_addresses_that_are_not_public_are_refused(service: Service, elsewhere: Elsewhere, url: str) -> None:
    answer = post(service, url, elsewhere=elsewhere, allowed="")
    assert (answer.status_code, code(answer)) == (422, "address_refused")
    assert answer.json()["field"] == "url"
    assert service.objects() == []


def test_nothing_private_is_allowed_by_default(service: Service) -> None:
    for host in ("127.0.0.1", METADATA):
        answer = post(service, f"https://{host}/x", elsewhere=None)
        assert (answer.status_code, code(answer)) == (422, "address_refused")


@pytest.mark.parametrize("path", ["/inside", "/named", "/file"])
def test_redirects_to_what_is_not_public_are_refused(
    service: Service, elsewhere: Elsewhere, path: str
) -> None:
    answer = post(service, elsewhere.url(path), elsewhere=elsewhere)
    assert (answer.status_code, code(answer)) == (422, "address_refused")
    assert service.objects() == []


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/loop", 422, "source_unavailable"),
        ("/gone", 422, "source_unavailable"),
        ("/cut", 422, "source_unavailable"),
        ("/large", 413, "upload_too_large"),
        ("/endless", 413, "upload_too_large"),
        ("/text", 415, "not_media"),
    ],
)
def test_what_gives_no_file_or_too_much_leaves_nothing(
    service: Service, elsewhere: Elsewhere, path: str, status: int, problem: str
) -> None:
    answer = post(service, elsewhere.url(path), elsewhere=elsewhere)
    assert (answer.status_code, code(answer), answer.json()["field"]) == (status, problem, "url") or (
        problem == "upload_too_large" and (answer.status_code, code(answer)) == (status, problem)
    )
    assert service.objects() == []


def test_a_server_that_is_away_is_said_to_be(service: Service, elsewhere: Elsewhere) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://clips.example:{taken.getsockname()[1]}/x"
        answer = post(service, url, elsewhere=elsewhere)
    assert (answer.status_code, code(answer)) == (422, "source_unavailable")


def test_a_fetch_that_takes_too_long_ends(
    service: Service, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FETCH_S_MAX", 0.3)
    service.settings = service.settings.model_copy(update={"upload_bytes_max": 1 << 40})
    answer = post(service, elsewhere.url("/endless"), elsewhere=elsewhere)
    assert (answer.status_code, code(answer)) == (422, "source_unavailable")
    assert service.objects() == []


def test_options_that_do_not_fit_the_file_leave_nothing(service: Service, elsewhere: Elsewhere) -> None:
    url = elsewhere.url("/films/H%C3%B6hle.mp4")
    answer = post(service, url, elsewhere=elsewhere, format="png")
    assert (answer.status_code, code(answer)) == (422, "invalid_option")
    assert service.objects() == []


def test_a_form_names_one_file(service: Service, elsewhere: Elsewhere) -> None:
    answer = post(service, elsewhere.url("/moved"), elsewhere=elsewhere, upload="0" * 36)
    assert (answer.status_code, code(answer)) == (422, "invalid_option")
