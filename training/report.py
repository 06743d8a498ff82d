"""What an evaluation shows: a markdown table with published figures, and a sheet of crops to look at."""

from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

METRICS: Final = {
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".3f"),
    "tof": ("tOF", ".3f"),
    "tlp": ("tLP", ".2f"),
}
CROP: Final = (128, 160)  # height and width of one crop, shown twice enlarged

# Vid4, BD. Bicubic and the frames of DUF and RLSP were scored by this protocol; the rest are authors' tables.
PUBLISHED_VID4_BD: Final[dict[str, dict[str, float | None]]] = {
    "bicubic": {"psnr": 23.61, "ssim": 0.607, "lpips": 0.514, "tof": 0.548, "tlp": 2.38},
    "DUF 16L": {"psnr": 26.82, "ssim": 0.820, "lpips": 0.273, "tof": 0.181, "tlp": 1.33},
    "DUF 52L": {"psnr": 27.34, "ssim": 0.838, "lpips": 0.260, "tof": 0.159, "tlp": 1.34},
    "RLSP 7-64": {"psnr": 26.86, "ssim": 0.827, "lpips": 0.277, "tof": 0.189, "tlp": 1.15},
    "RLSP 7-256": {"psnr": 27.52, "ssim": 0.851, "lpips": 0.238, "tof": 0.167, "tlp": 1.15},
    "FRVSR (TecoGAN-PyTorch)": {"psnr": 27.06, "ssim": None, "lpips": 0.245, "tof": 0.202, "tlp": 1.094},
    "TecoGAN (TecoGAN-PyTorch)": {"psnr": 26.01, "ssim": 0.803, "lpips": 0.152, "tof": 0.194, "tlp": 0.515},
    "TecoGAN (authors)": {"psnr": 25.57, "ssim": None, "lpips": 0.162, "tof": 0.190, "tlp": 0.668},
}


def markdown_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| | " + " | ".join(title for title, _ in METRICS.values()) + " |",
        "|---" * (len(METRICS) + 1) + "|",
    ]
    for name, values in rows.items():
        cells = (
            "" if values[key] is None else format(values[key], form) for key, (_, form) in METRICS.items()
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def crop_sheet(
    clips: list[tuple[str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]],
) -> NDArray[np.uint8]:
    """One row a clip: bicubic, model, truth at the place with most detail, (H, W, 3) uint8 RGB."""
    rows = []
    for name, *pictures in clips:
        y, x = most_detailed(pictures[-1])
        crops = [picture[y : y + CROP[0], x : x + CROP[1]] for picture in pictures]
        height, width = 2 * CROP[0], 2 * CROP[1]
        shown = [cv2.resize(crop, (width, height), interpolation=cv2.INTER_NEAREST) for crop in crops]
        row = np.concatenate(shown, axis=1)
        for index, title in enumerate((f"{name}: bicubic", "model", "truth")):
            place = (index * width + 6, 16)
            cv2.putText(row, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(row, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows)


def most_detailed(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """(y, x) of the crop with the strongest fine detail."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    total = cv2.integral(np.abs(cv2.Laplacian(luma, cv2.CV_32F)))
    height, width = min(CROP[0], luma.shape[0]), min(CROP[1], luma.shape[1])
    found = (
        total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    )
    y, x = np.unravel_index(int(found.argmax()), found.shape)
    return int(y), int(x)
