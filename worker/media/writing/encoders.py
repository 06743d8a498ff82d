"""FFmpeg's encoders: their names and options, with which parts come out joinable.

Joinable means: closed groups of pictures, and the same parameter sets in every part. Not here: what is
written (encoding.py), how (encode.py).
"""

import os
from collections.abc import Mapping
from typing import Final

from service.formats import Codec
from worker.media.writing.encoding import LOOKAHEAD_MAX, Encoding
from worker.media.writing.light import svt_params, x265_params

ENCODERS: Final[Mapping[Codec, str]] = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}

# x265 4.2 writes past its arrays (Lookahead::cuTree) on smaller frames, 48x48 for one; the heap gives way.
_CUTREE_SIDE_MIN = 64

# For 3840x2160 SVT-AV1 takes 5.3 GB with eight, 1.7 with two, and 1.0 with short groups as well, which are
# for still larger frames; x265 takes 1.4.
_AV1_PARALLEL_MAX = 2

os.environ.setdefault("SVT_LOG", "1")  # errors; or SVT-AV1 would tell of itself on standard error


def options_of(encoding: Encoding) -> dict[str, str]:
    """What the encoder is told beside what every encoder knows (size, colour, threads)."""
    # The presets of H.264 and HEVC cost 12 and 22 ms of one core for a frame of 720x576; HEVC's "fast" costs
    # 32 ms and makes the file no smaller. AV1's costs what HEVC's does, for files a tenth smaller.
    grade = str(encoding.grade)
    match encoding.codec:
        case "h264":
            params = f"rc-lookahead={encoding.lookahead}:open-gop=0"
            return {"preset": "fast", "crf": grade, "x264-params": params}
        case "hevc":
            # No info: the message with x265's own settings would sit in the parameter sets.
            params = f"log-level=none:info=0:open-gop=0:rc-lookahead={encoding.lookahead}"
            params += f":frame-threads=1:pools={encoding.threads}"
            if min(encoding.width, encoding.height) < _CUTREE_SIDE_MIN:
                params += ":cutree=0"
            params += x265_params(encoding.light)
            return {"preset": "veryfast", "crf": grade, "x265-params": params}
        case "av1":
            params = (
                f"lp={min(encoding.threads, _AV1_PARALLEL_MAX)}:irefresh-type=2:chroma-sample-position=left"
            )
            if encoding.lookahead < LOOKAHEAD_MAX:
                params += ":hierarchical-levels=3:lookahead=0"
            params += svt_params(encoding.light)
            return {"preset": "7", "crf": grade, "svtav1-params": params}
        case "prores":
            return {"profile": grade, "vendor": "apl0"}
        case "ffv1":
            return {"level": "3", "g": "1", "slicecrc": "1"}
