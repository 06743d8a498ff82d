"""`python -m training compare`: pictures of several models beside the truth, to be looked at.

For each clip a sheet of crops from its middle frame, and strips of one column over time. Scores are
evaluate.py's, drawing is pictures.py's.
"""

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from training.config import EvaluationName
from training.data import Sequence, forth_and_back, make_sequence
from training.evaluate import EvaluationError, load_model, read_sequences, run
from training.pictures import Picture, crops, time_strips

CROPS: Final = 3  # of each clip


def compare(
    data: Path, sources: list[str], out: Path, *, protocol: EvaluationName, frames: int | None = None
) -> list[Path]:
    """Write CLIP-crops.png, and CLIP-strips.png for what moves, into `out`; returns their paths.

    sources   models, as load_model takes them; one column each, in this order
    frames    play what moves forth and back until it has so many, to show what builds up; None: as it is
    """
    if frames is not None and frames < 2:
        raise EvaluationError(f"frames is {frames}: a clip has at least 2")
    models = {name: model for model, name in map(load_model, sources)}
    if len(models) < len(sources):
        raise EvaluationError(f"two of the models have one name: {' '.join(sources)}")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for read in read_sequences(data, protocol):
        moves = len(read.target) > 1
        sequence = lengthen(read, frames, protocol) if moves and frames is not None else read
        clips = {name: run(model, sequence) for name, model in models.items()}
        clips["truth"] = sequence.target
        middle = len(sequence.target) // 2
        pictures = {"crops": crops({name: clip[middle] for name, clip in clips.items()}, CROPS)}
        if moves:
            pictures["strips"] = time_strips(clips)
        written += [_write(out / f"{sequence.name}-{kind}.png", drawn) for kind, drawn in pictures.items()]
    return written


def lengthen(sequence: Sequence, frames: int, protocol: EvaluationName) -> Sequence:
    """So many frames of the clip, turning round at its ends."""
    ring = forth_and_back(list(range(len(sequence.target))))[:-1]  # its last frame is its first
    order = [ring[i % len(ring)] for i in range(frames)]
    return make_sequence(sequence.name, sequence.target[order], protocol)


def _write(path: Path, drawn: Picture) -> Path:
    if not cv2.imwrite(str(path), np.ascontiguousarray(drawn[..., ::-1])):
        raise EvaluationError(f"{path}: can't be written")
    return path
