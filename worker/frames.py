"""The arrays that travel through a worker: rows first, RGB. One name each, for every room.

uint8 where the source has eight bits, and uint16 where it has more: 255 or 65535 is 1.0, whatever the depth
of the file that it came from. A stream has one of the two from its first frame to its last.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LowFrame = NDArray[np.unsignedinteger[Any]]  # (h, w, 3): as decoded, before the network
HighFrame = NDArray[np.unsignedinteger[Any]]  # (H, W, 3): of the network, four times larger, or reduced
YuvFrame = NDArray[np.uint8]  # (3H/2, W): rows of Y, then Cb, then Cr, of which a row is half as wide
Planes = NDArray[np.unsignedinteger[Any]]  # (H, W, 3), or (H, W) of one plane such as alpha


def is_deep(samples: Planes) -> bool:
    """Whether they have more than eight bits."""
    return samples.dtype == np.uint16


def is_yuv(samples: Planes) -> bool:
    """Whether they are a YuvFrame, and not RGB."""
    return samples.ndim == 2


def last_level(samples: Planes) -> int:
    """What stands for 1.0."""
    return 65_535 if is_deep(samples) else 255


def to_levels(values: NDArray[np.floating[Any]], like: Planes) -> Planes:
    """Finite values, of which those from 0 to 1 count, as samples of the same kind as those of `like`."""
    levels = np.rint(np.clip(values, 0, 1) * np.float32(last_level(like)))
    samples: Planes = levels.astype(like.dtype)
    return samples


def in_bytes(samples: Planes) -> Planes:
    """The same at eight bits, rounded."""
    if not is_deep(samples):
        return samples
    rounded: Planes = ((samples.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
    return rounded
