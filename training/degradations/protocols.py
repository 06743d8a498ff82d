"""How the low frames of a whole clip are made, by the protocol's name; a function of clip, protocol and name.

bd, bi        the frozen protocol's two ways (linear.py)
bsrgan        blind: one draw from the clip's name (bsrgan.py); training draws anew for each crop (blind.py)
upload        the same with lighter draws among them (uploads.py)
bd-x264       bd, then x264 at CRF 28, preset medium, as a re-encoded upload
decimated     every fourth pixel, no blur: that at 4i + 2, as Pillow's nearest takes it; half a high pixel
              past the centre of the block, 4i + 1.5, and every model is judged with that shift
bd-noise10    bd, then Gaussian noise of sigma 10 levels, drawn from the clip's name

No training draws the last three: they judge.
"""

import zlib
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from model_core.config import SCALE
from training.config import EvaluationName, LinearName, ProtocolName
from training.degradations import bsrgan, uploads
from training.degradations.bsrgan import apply_steps
from training.degradations.codec import codec_missing, compress
from training.degradations.kernels import pick
from training.degradations.linear import degrade_frames

DRAWN: Final = {"bsrgan": bsrgan.draw_steps, "upload": uploads.draw_steps}  # each clip its own way
X264_CRF: Final = 28
X264_PRESET: Final = "medium"
NOISE_DEVIATION: Final = 10.0


def make_low(
    name: str, target: NDArray[np.uint8], protocol: ProtocolName | EvaluationName
) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 -> (T, h, w, 3). Raises CodecMissingError where the protocol needs PyAV."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if protocol in DRAWN:
        return apply_steps(rng, DRAWN[protocol](rng, *target.shape[:3], codec=not codec_missing()), target)
    if protocol == "decimated":
        return pick(target, SCALE)
    linear: LinearName = "bi" if protocol == "bi" else "bd"
    frames = (degrade_frames(torch.from_numpy(frame[None]), linear).numpy() for frame in target)
    low: NDArray[np.uint8] = np.concatenate(list(frames))
    if protocol == "bd-x264":
        return compress(low, "libx264", crf=X264_CRF, preset=X264_PRESET)
    if protocol == "bd-noise10":
        noisy = low + NOISE_DEVIATION * rng.standard_normal(low.shape, dtype=np.float32)
        return np.asarray(noisy.round().clip(0, 255), np.uint8)
    return low
