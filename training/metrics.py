"""Metrics of the frozen protocol, each a function of uint8 pictures or of luma. Version 1.

Not here: which frames and which crop (evaluate.py). PSNR and SSIM see Y (BT.601 limited range, float); LPIPS sees
RGB; tOF sees OpenCV's grey.
"""

import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

LUMA_WEIGHTS: Final = (65.481, 128.553, 24.966)  # of R, G, B in [0, 1], BT.601
LUMA_OFFSET: Final = 16.0


def luma(frame: Tensor) -> Tensor:
    """(H, W, 3) uint8 RGB -> (H, W) float64 Y in [16, 235]."""
    return frame.double() @ torch.tensor(LUMA_WEIGHTS, dtype=torch.float64) / 255 + LUMA_OFFSET


def psnr(output: Tensor, truth: Tensor) -> float:
    """In dB, of two (H, W) luma planes, data range 255."""
    error = ((output - truth) ** 2).mean().item()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
