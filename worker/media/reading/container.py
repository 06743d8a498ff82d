"""Opens media files, by what their first bytes say, and nothing else that FFmpeg could be talked into.

The format is forced to the one sniffed and only local files may be read, so an upload that is a playlist
cannot make the worker fetch addresses or other files. Not here: what is inside (probe.py) or pictures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.container

from service.animated import is_animated, reader_of
from service.errors import BrokenMedia, EmptyUpload, NotMedia, NoVideo, UnsupportedMedia
from service.formats import PICTURES, MediaKind

# FFmpeg logs through Python with locks of its own, which dead-locked with decoding threads (PyAV 751).
av.logging.set_level(None)

_DEMUXERS = {"mp4": "mov", "mov": "mov", "matroska": "matroska", "webm": "matroska", "avi": "avi"}

_ISO_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"}
_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
)
_SOUND = ((b"ID3", "mp3"), (b"fLaC", "flac"), (b"#!AMR", "amr"), (b"MThd", "midi"))
_REFUSED = (
    (b"OggS", "ogg"),
    (b"FLV\x01", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x00\x00\x01\xba", "mpeg"),
)
_HEAD_BYTES = 512


def sniff(path: Path) -> str:
    """The kind of file by its content: a name in `PICTURES`, or "mp4", "mov", "matroska", "webm", "avi".

    Raises EmptyUpload, NotMedia, NoVideo (a sound file), UnsupportedMedia (a container we do not take).
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise EmptyUpload("the file is empty", field="file", value=0)
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[4:8] in _ISO_BOXES:
        return _iso_kind(head)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"\x42\x82\x84webm" in head else "matroska"
    if head.startswith(b"RIFF"):
        return _riff_kind(head)
    return _refuse(head)


def kind_of(path: Path) -> MediaKind:
    """What kind of job a file makes; raises what `sniff` does."""
    sniffed = sniff(path)
    if sniffed not in PICTURES:
        return "video"
    with reader_of(path) as read:
        return "animation" if is_animated(sniffed, read) else "image"


def _iso_kind(head: bytes) -> str:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    if brand in _AVIF_BRANDS | _HEIF_BRANDS:
        stop = min(int.from_bytes(head[:4], "big"), len(head))
        if _AVIF_BRANDS & {brand, *(head[at : at + 4] for at in range(16, stop - 3, 4))}:
            return "avif"
        raise UnsupportedMedia(
            "HEIC pictures are not read; AVIF and JPEG are", field="file", value=brand.decode("latin1")
        )
    if brand in _SOUND_BRANDS:
        raise NoVideo("this is a sound file", field="file", value="m4a")
    return "mov" if brand == b"qt  " else "mp4"


def _riff_kind(head: bytes) -> str:
    form = head[8:12]
    if form == b"WAVE":
        raise NoVideo("this is a sound file", field="file", value="wav")
    if form not in {b"AVI ", b"WEBP"}:
        raise NotMedia("this is neither a picture nor a video", field="file", value=_shown(head))
    return "avi" if form == b"AVI " else "webp"


def _refuse(head: bytes) -> str:
    for signature, kind in _SOUND:
        if head.startswith(signature):
            raise NoVideo("this is a sound file", field="file", value=kind)
    if head[0] == 0xFF and head[1:2] and head[1] & 0xE6 in {0xE0, 0xE2, 0xE4, 0xE6}:  # an MPEG sound frame
        raise NoVideo("this is a sound file", field="file", value="mp3")
    is_transport = head[0] == 0x47 and head[188:189] == b"\x47"
    refused = "mpegts" if is_transport else next((k for s, k in _REFUSED if head.startswith(s)), None)
    if refused:
        raise UnsupportedMedia(
            f"{refused} files are not read; mp4, mov, mkv, webm and avi are", field="file", value=refused
        )
    raise NotMedia("this is neither a picture nor a video", field="file", value=_shown(head))


def _shown(head: bytes) -> str:
    return head[:16].hex(" ")


@contextmanager
def open_media(path: Path, *, pixels_max: int | None = None) -> Iterator[av.container.InputContainer]:
    """The container of a video file, closed when the block ends.

    pixels_max   a frame larger than this is not decoded while FFmpeg looks for what the header leaves out
    Raises BrokenMedia, and what `sniff` raises.
    """
    kind = sniff(path)
    if kind not in _DEMUXERS:
        raise UnsupportedMedia("a picture is not a video", field="file", value=kind)
    try:
        container = av.open(
            str(path.resolve()),  # absolute, so that no part of a name reads as a protocol
            "r",
            format=_DEMUXERS[kind],
            options={} if pixels_max is None else {"max_pixels": str(pixels_max)},
            container_options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.FFmpegError as error:
        raise BrokenMedia(
            f"the {kind} file cannot be opened; it may be truncated: {error.strerror}",
            field="file",
            value=kind,
        ) from error
    with container:
        yield container
