"""Metrics of the frozen protocol, each a function of pictures. Version 1.

PSNR and SSIM see Y (BT.601 limited range, float64); tOF sees OpenCV's grey. Not here: LPIPS, which sees
RGB (losses/perceptual.py), which frames and which crop (evaluate.py).
"""

import math
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

METRICS_VERSION: Final = 1
LUMA_WEIGHTS: Final = (65.481, 128.553, 24.966)  # of R, G, B in [0, 1], BT.601
LUMA_OFFSET: Final = 16.0
SSIM_WINDOW: Final = 7  # a plain mean over 7x7, as scikit-image's default and so TecoGAN's scorer


def luma(frame: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 RGB -> (..., H, W) float64 Y in [16, 235]."""
    return frame.double() @ torch.tensor(LUMA_WEIGHTS, dtype=torch.float64) / 255 + LUMA_OFFSET


def psnr(output: Tensor, truth: Tensor) -> float:
    """In dB, of two (H, W) luma planes, data range 255; infinite where they are equal."""
    error = ((output - truth) ** 2).mean().item()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(output: Tensor, truth: Tensor) -> float:
    """Structural similarity of two (H, W) luma planes; the data range is max - min of the output.

    Source: Wang et al. 2004, eq. 13, with a plain window and sample covariance (scikit-image's default).
    """
    data_range = (output.max() - output.min()).item()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    planes = torch.stack((output, truth, output * output, truth * truth, output * truth))[:, None]
    x, y, xx, yy, xy = F.avg_pool2d(planes, SSIM_WINDOW, stride=1)[:, 0]
    unbiased = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    variance_x, variance_y, covariance = (
        (a - b) * unbiased for a, b in ((xx, x * x), (yy, y * y), (xy, x * y))
    )
    value = (2 * x * y + c1) * (2 * covariance + c2) / ((x * x + y * y + c1) * (variance_x + variance_y + c2))
    return float(value.mean().item())


def motion(before: NDArray[np.uint8], frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 2) Farneback flow between two (H, W, 3) RGB frames, with the parameters of the protocol."""
    behind, here = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, frame))
    start = np.zeros((*here.shape, 2), np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(behind, here, start, 0.5, 3, 15, 3, 5, 1.2, 0), np.float32)


def motion_difference(output: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """tOF of two flows (H, W, 2): the mean length of their difference, in pixels. Source: TecoGAN, sec. 5."""
    return float(np.linalg.norm(output - truth, axis=-1).mean())
