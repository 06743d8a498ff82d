"""What `model=auto` gains: each model, and what auto takes, on clips that no training saw.

    python -m benchmarks.auto --data FOLDER --perceptual FOLDER --scores FILE [--inputs FOLDER]

Every clip is made small and spoilt in known ways (inputs.py), written as a file, measured as a job's
first decode measures it, and enlarged by every model that auto knows, as a worker of this machine does it.
PSNR is on luma, LPIPS AlexNet's; both leave out the first and last frames and the borders, as the frozen
protocol does. Scores are kept in a file, since they take a quarter of an hour and do not change with auto's
thresholds.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.auto.inputs import FRAMES, INPUTS, Frames, Truth, held_out, write_input
from benchmarks.auto.page import END, MODELS, START, Key, page
from service.auto import AUTO, WHOLE, Choice, decide
from service.objects.files import FileStorage
from service.settings import Settings
from training.data.sources import decode_video
from training.losses.perceptual import Lpips
from training.scores.evaluate import SKIPPED_FRAMES, centre_crop
from training.scores.metrics import luma, psnr
from worker.job.steps.feeder import Feeder, lead_in
from worker.media.pictures.reading import read_image
from worker.media.reading.probe import probe
from worker.media.reading.timeline import scan
from worker.media.traits import traits_of
from worker.media.types import Limits
from worker.media.writing.atomic import written_whole
from worker.models.registry import Registry


def score_all(
    truths: Sequence[Truth], inputs: Path, lpips: Lpips, scores: Path, models: Registry
) -> tuple[dict[str, Any], dict[Key, str]]:
    """By clip, input and what made it; and which of these auto took.

    What the file holds already is not done again.
    """
    found: dict[str, Any] = json.loads(scores.read_text()) if scores.exists() else {}
    taken = {}
    for truth in truths:
        seen = None
        for name, how in INPUTS.items():
            by_choice = found.setdefault(truth.name, {}).setdefault(name, {})
            path = input_path(inputs, truth.name, name)
            if not path.exists():
                write_input(truth, how, path)
            choice = judge(path, name)
            print(f"{truth.name}, {name}: {choice.reason}", flush=True)
            taken[truth.name, name] = label(choice)
            wanted = {label(each): each for each in (*map(Choice, MODELS), choice)}
            missing = {title: each for title, each in wanted.items() if title not in by_choice}
            if not missing:
                continue
            seen = seen or Seen(truth, lpips)
            low = decode_video(path)
            for title, each in missing.items():
                by_choice[title] = seen.score(upscale(models, each, low))
            with written_whole(scores) as aside:
                aside.write_text(json.dumps(found, indent=1))
    return found, taken


def label(choice: Choice) -> str:
    return choice.model if choice.strength == WHOLE else f"{choice.model} at {choice.strength} %"


def input_path(folder: Path, clip: str, name: str) -> Path:
    how = INPUTS[name]
    return folder / f"{clip} {name}{how.codec if how.is_picture else '.mkv'}"


def upscale(models: Registry, choice: Choice, low: Frames) -> Frames:
    """(T, h, w, 3) -> (T, H, W, 3)"""
    with (
        models.acquire(choice.model) as model,
        model.engine.open(*low.shape[1:3], strength=choice.share) as stream,
        Feeder(
            stream,
            (frame for frame in low),
            config=model.config,
            lead=lead_in(model.config, len(low)),
        ),
    ):
        return np.stack([high for _ in low if (high := stream.get()) is not None])


class Seen:
    """The truth of a clip as the metrics see it."""

    def __init__(self, truth: Truth, lpips: Lpips) -> None:
        self._lpips = lpips
        count = len(truth.frames)
        self._inner = centre_crop(*truth.frames.shape[1:3])
        self._middle = count // 2
        self._frames = range(SKIPPED_FRAMES, count - SKIPPED_FRAMES)
        tensors = {t: torch.from_numpy(truth.frames[t][self._inner]) for t in self._frames}
        self._truth = {t: (luma(each), lpips.features(each)) for t, each in tensors.items()}

    def score(self, output: Frames) -> dict[str, float]:
        """Means over the frames; a picture is the middle one."""
        pairs = [(0, self._middle)] if len(output) == 1 else [(t, t) for t in self._frames]
        psnrs, distances = [], []
        for here, there in pairs:
            frame, (plane, features) = torch.from_numpy(output[here][self._inner]), self._truth[there]
            psnrs.append(psnr(luma(frame), plane))
            distances.append(self._lpips.distance(self._lpips.features(frame), features))
        return {"psnr": float(np.mean(psnrs)), "lpips": float(np.mean(distances))}


def judge(path: Path, name: str) -> Choice:
    """What auto takes for the file."""
    limits = Limits(pixels_max=10**8, duration_s_max=10**4)
    if INPUTS[name].is_picture:
        return decide(AUTO, traits_of(read_image(path, pixels_max=limits.pixels_max).rgb))
    return decide(AUTO, scan(path, probe(path, limits=limits), limits=limits).traits)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auto", description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of clips, of which those held out are taken"
    )
    parser.add_argument("--perceptual", type=Path, required=True, help="folder of LPIPS weights")
    parser.add_argument("--scores", type=Path, required=True, help="JSON file that keeps what was scored")
    parser.add_argument("--inputs", type=Path, help="folder that keeps the spoilt files")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each clip")
    parser.add_argument("--page", type=Path, help="document whose table is to be written")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        inputs = options.inputs or Path(folder)
        inputs.mkdir(parents=True, exist_ok=True)
        truths = list(held_out(options.data, frames=options.frames))
        lpips = Lpips(options.perceptual, torch.device("cpu"))
        settings = Settings(data_dir=Path(folder))
        with Registry(FileStorage(settings.objects_dir), settings) as models:
            text = "\n".join(page(*score_all(truths, inputs, lpips, options.scores, models)))
    print(text)
    if options.page is not None:
        before, _, rest = options.page.read_text().partition(START)
        _, end, after = rest.partition(END)
        options.page.write_text(f"{before}{START}{text}\n{end}{after}")


if __name__ == "__main__":
    main()
