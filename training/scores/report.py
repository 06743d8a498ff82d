"""What an evaluation shows: a markdown table with published figures, and a sheet of crops to look at."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from training.scores.pictures import Picture, crops

METRICS: Final = {
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".3f"),
    "tof": ("tOF", ".3f"),
    "tlp": ("tLP", ".2f"),
}

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


def crop_sheet(clips: list[tuple[str, Picture, Picture, Picture]]) -> Picture:
    """One row a clip: bicubic, model and truth at the place with most detail, (H, W, 3) uint8 RGB."""
    rows = [
        crops({f"{name}: bicubic": plain, "model": high, "truth": target}, 1)
        for name, plain, high, target in clips
    ]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
