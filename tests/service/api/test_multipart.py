"""Multipart: the same events however the body is cut, and nothing half-read passes for whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.intake.multipart import FormReader, PartData, PartEnd, PartStart
from service.api.problems.errors import BadRequest, NotMultipart
from service.errors import UploadTruncated

CONTENT_TYPE = "multipart/form-data; boundary=BOUND"


def body(*parts: tuple[str, str | None, bytes]) -> bytes:
    out = b""
    for name, filename, data in parts:
        shown = f'; filename="{filename}"' if filename is not None else ""
        out += (
            f'--BOUND\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode()
            + data
            + b"\r\n"
        )
    return out + b"--BOUND--\r\n"


def read(chunks: list[bytes]) -> list[tuple[str, str | None, bytes]]:
    """The parts that a reader fed with these chunks reports."""
    reader = FormReader(CONTENT_TYPE)
    parts: list[tuple[str, str | None, bytes]] = []
    for chunk in chunks:
        for event in reader.feed(chunk):
            match event:
                case PartStart(name, filename):
                    parts.append((name, filename, b""))
                case PartData(data):
                    name, filename, before = parts[-1]
                    parts[-1] = (name, filename, before + data)
                case PartEnd():
                    pass
    reader.finish()
    return parts


# Contents that look like boundaries are the hard ones.
tricky = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--BOUN", b"BOUND", b"x", b"\r\n"])).map(
    b"".join
)


@given(tricky, st.lists(st.integers(1, 30), max_size=60))
def test_parts_do_not_depend_on_how_the_body_was_cut(data: bytes, cuts: list[int]) -> None:
    if b"\r\n--BOUND" in b"\r\n" + data + b"\r\n":
        return  # that is the boundary itself
    parts = [("scale", None, b"2"), ("file", "a.png", data)]
    whole = body(*parts)
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(whole[at : at + cut])
        at += cut
    assert read([*chunks, whole[at:]]) == parts


def test_a_filename_may_be_unicode() -> None:
    assert read([body(("file", "Höhle 洞.png", b"x"))]) == [("file", "Höhle 洞.png", b"x")]


@pytest.mark.parametrize("left_out", [1, 2, 4, 9, 12, 40])
def test_a_body_that_stops_early_is_truncated(left_out: int) -> None:
    whole = body(("file", "a.png", b"pixels" * 10)).rstrip(b"\r\n")
    with pytest.raises(UploadTruncated):
        read([whole[:-left_out]])


@pytest.mark.parametrize("content_type", ["", "application/json", "application/x-www-form-urlencoded"])
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(NotMultipart):
        FormReader(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 999}"],
)
def test_a_missing_or_endless_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest):
        FormReader(content_type)


@pytest.mark.parametrize(
    "bad",
    [
        b"no boundary at all",
        b"--BOUND\r\nContent-Disposition: form-data\r\n\r\nx\r\n--BOUND--\r\n",
        b"--BOUND\r\n\r\nx\r\n--BOUND--\r\n",
        b'--BOUND\r\nContent-Disposition: form-data; name="f"\r\nContent-Transfer-Encoding: base64\r\n\r\n',
        b"--BOUND\r\n" + b"a" * 100_000,
    ],
)
def test_a_malformed_body_is_a_bad_request(bad: bytes) -> None:
    with pytest.raises(BadRequest):
        read([bad])
