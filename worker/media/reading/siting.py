"""Where a file says that its chroma samples sit.

FFmpeg knows, from VUI, sequence headers and containers, but PyAV does not pass it on. FFmpeg's Matroska muxer
writes it down, so we have it write a header into memory and read that. Not here: what a codec's samples mean
where nothing is said (worker/media/colour.py).
"""

import io
from typing import Final

import av

from worker.media.reading.declared import TO_VIDEO, ebml_numbers
from worker.media.types import ChromaPlace

_COLOUR, _ACROSS, _DOWN = 0x55B0, 0x55B7, 0x55B8  # Matroska's ids; 1 is on the first luma sample, 2 half-way
_PLACES: Final[dict[tuple[int, int], ChromaPlace]] = {
    (1, 2): "left",
    (2, 2): "center",
    (1, 1): "topleft",
    (2, 1): "top",
}


def stated_place(stream: av.VideoStream) -> ChromaPlace | None:
    """None where nothing is said, or where Matroska has no word for it (places at the bottom)."""
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except (av.FFmpegError, ValueError):  # a codec that Matroska does not hold, or one without its header
        return None
    said = dict(ebml_numbers(header, 0, header.tell(), parents=TO_VIDEO | {_COLOUR}))
    return _PLACES.get((said.get(_ACROSS, 0), said.get(_DOWN, 0)))
