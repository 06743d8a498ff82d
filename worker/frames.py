"""The arrays that travel through a worker: uint8, rows first, RGB. One name each, for every room."""

import numpy as np
from numpy.typing import NDArray

LowFrame = NDArray[np.uint8]  # (h, w, 3): as decoded, before the network
HighFrame = NDArray[np.uint8]  # (H, W, 3): of the network, four times larger, or reduced from that
Planes = NDArray[np.uint8]  # (H, W, 3), or (H, W) of one plane such as alpha: a picture at a codec's door
