"""Fetching: the file at an address that a form names becomes an object in storage, as if it had been sent.

This process streams it, under the limits of an upload, before it answers. Each address on the way, that of a
redirect too, is judged and called by the numbers that were judged (service/outgoing.py). Start reading at
`fetch`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import httpx
from anyio import CancelScope

from service.api.dependencies import in_thread
from service.api.intake.media import Incoming, Stored, too_large, until_idle
from service.errors import SourceUnavailable, StorageUnavailable, UpscaleError
from service.objects.base import CHUNK_BYTES, Storage
from service.outgoing import Destination, Outgoing

FETCH_S_MAX: Final = 900.0  # whoever asked waits for as long
ANSWER_S_MAX: Final = 30.0  # to a connection, and until an answer begins
REDIRECTS_MAX: Final = 5
USER_AGENT: Final = "upscaled-fetch/1"


async def fetch(
    url: str,
    *,
    outgoing: Outgoing,
    storage: Storage,
    key: str,
    bytes_max: int,
    pixels_max: int,
    check_room: Callable[[int], None],
) -> Stored:
    """Stream it to `key` and return what it is; whatever goes wrong leaves nothing there.

    check_room   told how large it says it is; raises when there is no room

    Raises SourceUnavailable, the errors of Outgoing, and what an upload may be refused for.
    """
    writer = await in_thread(storage.writer, key)
    try:
        async with asyncio.timeout(FETCH_S_MAX), _opened(url, outgoing) as answer:
            declared = int(answer.headers.get("content-length", "0"))
            if declared > bytes_max:
                raise too_large(bytes_max)
            await in_thread(check_room, declared)
            incoming = Incoming(_name(url), field="url", bytes_max=bytes_max)
            async for chunk in until_idle(answer.aiter_raw()):
                incoming.take(chunk)
                if len(incoming.pending) >= CHUNK_BYTES:
                    await in_thread(incoming.flush, writer)
            incoming.end()
            await in_thread(incoming.flush, writer)
        await in_thread(writer.commit)
        return await in_thread(incoming.stored, storage, key, pixels_max=pixels_max)
    except BaseException as error:
        with CancelScope(shield=True), suppress(StorageUnavailable):
            await in_thread(writer.abort)
            await in_thread(storage.delete, key)
        match error:
            case httpx.HTTPError():
                raise SourceUnavailable(_words(error), field="url", value=url) from error
            case TimeoutError():
                message = f"it did not come within {FETCH_S_MAX:.0f} seconds"
                raise SourceUnavailable(message, field="url", value=url) from error
            case UpscaleError(field="address" | "file"):
                error.field = "url"
        raise


@asynccontextmanager
async def _opened(url: str, outgoing: Outgoing) -> AsyncIterator[httpx.Response]:
    """The answer to a GET, behind the redirects, before its body."""
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(),
        follow_redirects=False,
        trust_env=False,  # a proxy would resolve names for itself
        timeout=httpx.Timeout(ANSWER_S_MAX, read=None),  # silence of the body is watched by the reader
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    ) as http:
        for _ in range(REDIRECTS_MAX + 1):
            destination = await in_thread(outgoing.resolve, url)
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = await _get(http, destination)
            try:
                if answer.has_redirect_location:
                    url = urljoin(url, answer.headers["location"])
                    continue
                if answer.status_code != httpx.codes.OK:
                    message = f"{destination.host} answers {answer.status_code}"
                    raise SourceUnavailable(message, field="url", value=url)
                yield answer
                return
            finally:
                await answer.aclose()
        raise SourceUnavailable("it is redirected too often", field="url", value=url)


async def _get(http: httpx.AsyncClient, destination: Destination) -> httpx.Response:
    *others, last = destination.addresses
    for address in others:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await _get_from(address, http, destination)
    return await _get_from(last, http, destination)


async def _get_from(address: str, http: httpx.AsyncClient, destination: Destination) -> httpx.Response:
    request = http.build_request(
        "GET",
        destination.by(address),
        headers={"Host": destination.authority},
        extensions={"sni_hostname": destination.host},  # what the certificate must be of
    )
    return await http.send(request, stream=True)


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _words(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")[:200]
