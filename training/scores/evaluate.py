"""`python -m training evaluate`: the frozen protocol for videos; PSNR, SSIM and LPIPS for folders of images.

A clip is degraded, upscaled in order from a clean state and rounded to uint8. The first and last two frames
are skipped, borders cropped (whole frames for tOF's motion), each metric averaged over the frames of a clip
and then over clips. Metrics: metrics.py, losses/perceptual.py. Tables and pictures: report.py. Begin at
`evaluate`.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model_core.checkpoint import load as load_checkpoint
from model_core.checkpoint import shipped
from model_core.model import Model, build
from model_core.pixels import to_uint8
from training.config import EvaluationName
from training.data.sequences import Sequence, make_sequence
from training.data.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, decode_video
from training.losses.perceptual import Lpips
from training.run.validate import upscale_sequence
from training.scores.metrics import METRICS_VERSION, luma, motion, motion_difference, psnr, ssim
from training.scores.report import PUBLISHED_VID4_BD, crop_sheet, markdown_table
from training.weights.reading import read_weights

SKIPPED_FRAMES: Final = 2  # at either end of a clip
CROP_MULTIPLE: Final = 32
CROP_LEFT: Final = 16  # pixels that the crop leaves in each direction, at least


class EvaluationError(ValueError):
    """The data or the model named can't be evaluated."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Means of one clip, one image or a whole set; None where a metric does not apply."""

    psnr: float
    ssim: float
    lpips: float | None = None
    tof: float | None = None
    tlp: float | None = None


def evaluate(
    data: Path,
    model: Model,
    name: str,
    *,
    protocol: EvaluationName,
    lpips: Lpips | None,
    json_path: Path | None,
) -> str:
    """Score a model on every clip or image of a folder: a markdown table; JSON and a crop sheet beside it."""
    by_clip: dict[str, Scores] = {}
    sheet: list[tuple[str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]] = []
    bicubic: dict[str, Scores] = {}
    baseline = build(model.config.from_json('{"generator": "bicubic", "flow": "none"}')).eval()
    known = protocol == "bd" and {p.stem for p in data.iterdir()} == {"calendar", "city", "foliage", "walk"}
    for sequence in read_sequences(data, protocol):
        output = run(model, sequence)
        plain = run(baseline, sequence)
        by_clip[sequence.name] = score(sequence.target, output, lpips)
        if not known:
            bicubic[sequence.name] = score(sequence.target, plain, lpips)
        middle = len(output) // 2
        sheet.append((sequence.name, plain[middle], output[middle], sequence.target[middle]))
    rows: dict[str, Scores | dict[str, Any]] = (
        dict(PUBLISHED_VID4_BD) if known else {"bicubic": mean(bicubic.values())}
    )
    rows[name] = mean(by_clip.values())
    if json_path is not None:
        report = {
            "metrics_version": METRICS_VERSION, "protocol": protocol, "model": name,
            "mean": asdict(mean(by_clip.values())),
            "clips": {clip: asdict(found) for clip, found in by_clip.items()},
        }  # fmt: skip
        json_path.write_text(json.dumps(report, indent=1) + "\n")
        cv2.imwrite(str(json_path.with_suffix(".png")), crop_sheet(sheet)[..., ::-1])
    columns = {row: asdict(found) if isinstance(found, Scores) else found for row, found in rows.items()}
    return markdown_table(columns) + "\n\n" + markdown_table({clip: asdict(s) for clip, s in by_clip.items()})


def read_sequences(data: Path, protocol: EvaluationName) -> Iterable[Sequence]:
    """Videos as clips, images as clips of one frame; sides cut to multiples of 4."""
    files = [
        file for file in sorted(data.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
    ]
    if not files:
        raise EvaluationError(f"{data}: no videos and no images")
    for file in files:
        if file.suffix.lower() in VIDEO_SUFFIXES:
            yield make_sequence(file.stem, decode_video(file), protocol)
        else:
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise EvaluationError(f"{file}: not a readable image")
            yield make_sequence(file.stem, np.ascontiguousarray(picture[None, ..., ::-1]), protocol)


@torch.no_grad()
def run(model: Model, sequence: Sequence) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: what the model makes of the degraded clip."""
    return np.asarray(to_uint8(upscale_sequence(model, sequence)).numpy(), np.uint8)


def score(truth: NDArray[np.uint8], output: NDArray[np.uint8], lpips: Lpips | None) -> Scores:
    """Both (T, H, W, 3) uint8. A single image has no motion and loses no frames."""
    moving = len(truth) > 2 * SKIPPED_FRAMES + 1
    frames = range(SKIPPED_FRAMES, len(truth) - SKIPPED_FRAMES) if moving else range(len(truth))
    inner = centre_crop(*truth.shape[1:3]) if moving else (slice(None), slice(None))
    planes = [
        (luma(torch.from_numpy(output[t][inner])), luma(torch.from_numpy(truth[t][inner]))) for t in frames
    ]
    found = Scores(_mean(psnr(*pair) for pair in planes), _mean(ssim(*pair) for pair in planes))
    lpips_value = tlp = None
    if lpips is not None:
        seen = [
            tuple(lpips.features(torch.from_numpy(clip[t][inner])) for clip in (output, truth))
            for t in frames
        ]
        lpips_value = _mean(lpips.distance(high, target) for high, target in seen)
        if moving:
            tlp = _mean(
                100 * abs(lpips.distance(a[0], b[0]) - lpips.distance(a[1], b[1])) for a, b in pairwise(seen)
            )
    tof = None
    if moving:
        tof = _mean(
            motion_difference(motion(output[t - 1], output[t])[inner], motion(truth[t - 1], truth[t])[inner])
            for t in frames[1:]
        )
    return Scores(found.psnr, found.ssim, lpips_value, tof, tlp)


def centre_crop(height: int, width: int) -> tuple[slice, slice]:
    """The largest multiple of 32 in each direction that leaves at least 16 pixels in sum, in the middle."""
    crops = []
    for side in (height, width):
        kept = (side - CROP_LEFT) // CROP_MULTIPLE * CROP_MULTIPLE
        if kept <= 0:
            raise EvaluationError(f"{width}x{height} is too small for the protocol's crop")
        start = (side - kept) // 2
        crops.append(slice(start, start + kept))
    return crops[0], crops[1]


def mean(scores: Iterable[Scores]) -> Scores:
    """Each metric over those that have it."""
    rows = [asdict(found) for found in scores]
    columns = {key: [row[key] for row in rows if row[key] is not None] for key in rows[0]}
    means = {key: sum(values) / len(values) if values else None for key, values in columns.items()}
    return Scores(**means)  # type: ignore[arg-type]  # psnr and ssim are never None


def load_model(source: str) -> tuple[Model, str]:
    """By a shipped name, a checkpoint's folder, or a training's (averaged weights)."""
    if source in shipped():
        return load_checkpoint(shipped()[source]).model, source
    path = Path(source)
    if path.is_dir():
        return read_weights(path)[0], path.name
    raise EvaluationError(f"{source}: neither a shipped model {sorted(shipped())} nor a folder")


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
