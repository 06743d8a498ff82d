"""`python -m training compare`: pictures of several models beside the truth, to be looked at.

For each clip a sheet of crops from its middle frame, and strips of one column over time; for all of them a
table of how the PSNR goes from the first frames to the last, where a recurrence that drifts loses. Scores
are evaluate.py's, drawing is pictures.py's.
"""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from training.config import EvaluationName
from training.data.sequences import Sequence, make_sequence, to_and_fro
from training.scores.evaluate import EvaluationError, load_model, read_sequences, run
from training.scores.metrics import luma, psnr
from training.scores.pictures import Picture, crops, time_strips

CROPS: Final = 3  # of each clip
PARTS: Final = 8  # of a clip, in the table


def compare(
    data: Path, sources: list[str], out: Path, *, protocol: EvaluationName, frames: int | None = None
) -> list[Path]:
    """Write CLIP-crops.png, and for what moves CLIP-strips.png and psnr.md, into `out`; returns their paths.

    sources   models, as load_model takes them; one column each, in this order
    frames    play what moves forth and back until it has so many, to show what builds up; None: as it is
    """
    if frames is not None and frames < 2:
        raise EvaluationError(f"frames is {frames}: a clip has at least 2")
    models = {name: model for model, name in map(load_model, sources)}
    if len(models) < len(sources):
        raise EvaluationError(f"two of the models have one name: {' '.join(sources)}")
    out.mkdir(parents=True, exist_ok=True)
    written, rows = [], []
    for read in read_sequences(data, protocol):
        moves = len(read.target) > 1
        sequence = lengthen(read, frames, protocol) if moves and frames is not None else read
        clips = {name: run(model, sequence) for name, model in models.items()}
        if moves:
            rows += [
                [sequence.name, name, *psnr_over_time(clip, sequence.target)] for name, clip in clips.items()
            ]
        clips["truth"] = sequence.target
        middle = len(sequence.target) // 2
        pictures = {"crops": crops({name: clip[middle] for name, clip in clips.items()}, CROPS)}
        if moves:
            pictures["strips"] = time_strips(clips)
        written += [_write(out / f"{sequence.name}-{kind}.png", drawn) for kind, drawn in pictures.items()]
    if rows:
        head = ["clip", "model", *(f"{part + 1}/{PARTS}" for part in range(PARTS))]
        lines = ("| " + " | ".join(row) + " |\n" for row in [head, ["---"] * len(head), *rows])
        (out / "psnr.md").write_text("".join(lines))
        written.append(out / "psnr.md")
    return written


def psnr_over_time(output: Picture, truth: Picture) -> list[str]:
    """dB of Y in each of PARTS of the clip, or in each frame of a shorter one."""
    frames = [psnr(luma(a), luma(b)) for a, b in zip(*map(torch.from_numpy, (output, truth)), strict=True)]
    return [f"{np.mean(part):.2f}" if len(part) else "" for part in np.array_split(frames, PARTS)]


def lengthen(sequence: Sequence, frames: int, protocol: EvaluationName) -> Sequence:
    """So many frames of the clip, turning round at its ends."""
    order = to_and_fro(len(sequence.target), frames)
    return make_sequence(sequence.name, sequence.target[order], protocol)


def _write(path: Path, drawn: Picture) -> Path:
    if not cv2.imwrite(str(path), np.ascontiguousarray(drawn[..., ::-1])):
        raise EvaluationError(f"{path}: can't be written")
    return path
