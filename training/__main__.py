"""`python -m training`: train, carry, average, evaluate, compare, pack, publish."""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from training.config import ConfigError, EvaluationName, parse_overrides
from training.presets import PRESETS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    # Abbreviations would let a mistyped key of the config pass for an option.
    _add_train(commands.add_parser("train", help="begin or go on with a training", allow_abbrev=False))
    _add_carry(commands.add_parser("carry", help="write a training's state as a few megabytes"))
    _add_evaluate(commands.add_parser("evaluate", help="score a model by the frozen protocol"))
    _add_compare(
        commands.add_parser("compare", help="draw models beside the truth: crops, and strips over time")
    )
    _add_pack(commands.add_parser("pack", help="write the training material as one file that travels"))
    _add_average(commands.add_parser("average", help="mix the weights of several states or checkpoints"))
    _add_publish(
        commands.add_parser("publish", help="make a checkpoint of a training and give it to new jobs")
    )
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "train":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        return int(options.run(options, rest))
    except (ConfigError, OSError, ValueError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 2


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=sorted(PRESETS), default="trunk")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of videos, frames and photographs, or a pack"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="where state, log and curves lie; begun anew or gone on with"
    )
    parser.add_argument(
        "--init",
        help="weights to begin from: a shipped name, or a checkpoint's or a training's folder",
    )
    parser.add_argument(
        "--init-critic", type=Path, help="folder of a training's state; its D is the one to begin with"
    )
    parser.add_argument(
        "--branch-of",
        type=Path,
        help="folder of a training's state to go on from, optimisers included, by a schedule of its own",
    )
    parser.add_argument(
        "--perceptual",
        type=Path,
        help="folder of VGG16's weights, by default those of the pack; with LPIPS's, validation tells LPIPS",
    )
    parser.add_argument(
        "--stop-seconds", type=float, help="end this run, state written, within so many seconds"
    )
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds between two written states")
    parser.add_argument("--stop-steps", type=int, help="end this run after so many steps")
    parser.epilog = (
        "Every value of training/config.py has a key as well: --learning-rate 2e-4, --critic-pace 2, ..."
    )
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace, rest: Sequence[str]) -> int:
    # Reading Python's packages and the data counts as well: the caller has a deadline.
    ends_at = time.monotonic() + options.stop_seconds if options.stop_seconds else math.inf
    from training.data.pack import is_pack, unpack_weights  # noqa: PLC0415
    from training.data.sources import load_library  # noqa: PLC0415 (torch takes seconds, and --help none)
    from training.losses.perceptual import VGG16  # noqa: PLC0415
    from training.run.carry import take_up  # noqa: PLC0415
    from training.run.state import has_state, read_config  # noqa: PLC0415
    from training.run.step import TrainingDivergedError  # noqa: PLC0415
    from training.run.train import Limits, train  # noqa: PLC0415
    from training.weights.initial import find_initial  # noqa: PLC0415

    state, overrides = options.out / "state", parse_overrides(rest)
    wanted = PRESETS[options.preset].override(overrides)
    if not (options.init or options.branch_of) and take_up(options.preset, wanted, options.out):
        print(f"going on with what is carried of {options.preset}")
    config = read_config(state).override(overrides) if has_state(state) else wanted
    try:
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder)
            fresh, packed = not has_state(state), is_pack(options.data)
            names = [file.name for file in unpack_weights(options.data, unpacked)] if packed else []
            progress = train(
                config, load_library(options.data), options.out,
                Limits(ends_at=ends_at, steps=options.stop_steps, save_every_s=options.save_every),
                init=find_initial(options.init) if fresh and options.init else None,
                init_critic=options.init_critic, branch_of=options.branch_of,
                perceptual=options.perceptual or (unpacked if VGG16.features_file in names else None),
            )  # fmt: skip
    except TrainingDivergedError as error:
        print(f"stopped, the last good state is in {state}: {error}", file=sys.stderr)
        return 3
    print(f"step {progress.step}, {progress.seconds:.0f} s of training; state in {state}")
    return 0


def _add_carry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--of", type=Path, required=True, help="folder of the training")
    parser.add_argument("--out", type=Path, help="by default where a fresh `--preset trunk` looks for it")
    parser.set_defaults(run=_carry)


def _carry(options: argparse.Namespace, _: Sequence[str]) -> int:
    from training.run.carry import CARRIED, carry  # noqa: PLC0415

    out = options.out or CARRIED / "trunk"
    print(f"{out}: {carry(options.of, out) / 1e6:.1f} MB")
    return 0


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of clips (Vid4) or of images")
    parser.add_argument(
        "--model", required=True, help="a shipped name, or a checkpoint's or a training's folder"
    )
    parser.add_argument("--protocol", choices=get_args(EvaluationName), default="bd")
    parser.add_argument("--json", type=Path, help="write scores here and a sheet of crops beside it, as .png")
    parser.add_argument(
        "--weights", type=Path, help="folder of LPIPS weights; by default `weights` beside the data"
    )
    parser.add_argument("--no-lpips", action="store_true", help="leave LPIPS and tLP out")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace, _: Sequence[str]) -> int:
    import torch  # noqa: PLC0415

    from training.losses.perceptual import Lpips  # noqa: PLC0415
    from training.scores.evaluate import evaluate, load_model  # noqa: PLC0415

    folder = options.weights or default_weights(options.data)
    lpips = None if options.no_lpips else Lpips(folder, torch.device("cpu"))
    model, name = load_model(options.model)
    print(evaluate(options.data, model, name, protocol=options.protocol, lpips=lpips, json_path=options.json))
    return 0


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of clips (Vid4) or of images")
    parser.add_argument(
        "--models", nargs="+", required=True, help="shipped names, folders of checkpoints or trainings"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--protocol", choices=get_args(EvaluationName), default="bd")
    parser.add_argument("--frames", type=int, help="play each clip forth and back until it has so many")
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace, _: Sequence[str]) -> int:
    from training.scores.compare import compare  # noqa: PLC0415

    for path in compare(
        options.data, options.models, options.out, protocol=options.protocol, frames=options.frames
    ):
        print(path)
    return 0


def default_weights(data: Path) -> Path:
    """`weights` beside the data or one folder up, as the project's data lie."""
    folder = data.resolve()
    return next(
        (near / "weights" for near in folder.parents[:2] if (near / "weights").is_dir()), folder / "weights"
    )


def _add_pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of videos, frames and photographs")
    parser.add_argument(
        "--max-mb", type=float, required=True, help="largest size of the file, in millions of bytes"
    )
    parser.add_argument(
        "--perceptual", type=Path, help="folder of VGG16's weights; the layers that the loss uses go inside"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.set_defaults(run=_pack)


def _pack(options: argparse.Namespace, _: Sequence[str]) -> int:
    from training.data.sources import pack_folder  # noqa: PLC0415

    weights = {}
    if options.perceptual:
        from training.losses.perceptual import cut_vgg  # noqa: PLC0415

        weights = cut_vgg(options.perceptual)
    kept = pack_folder(options.data, options.out, weights, bytes_max=int(options.max_mb * 1e6))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, at most {kept} frames of each clip")
    return 0


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--of",
        required=True,
        action="append",
        metavar="FOLDER=SHARE",
        help="of a state or a checkpoint; repeatable",
    )
    parser.add_argument("--out", type=Path, required=True, help="where the checkpoint is written")
    parser.set_defaults(run=_average)


def _average(options: argparse.Namespace, _: Sequence[str]) -> int:
    from training.weights.average import average, parse_share  # noqa: PLC0415

    print(f"{options.out}: {average([parse_share(text) for text in options.of], options.out)}")
    return 0


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="the model's name, for example frvsr-lite")
    parser.add_argument("--source", type=Path, required=True, help="a training's folder or a checkpoint's")
    parser.add_argument(
        "--folder", type=Path, help="only write the checkpoint there, as the ones that ship with the package"
    )
    parser.add_argument(
        "--held-out", type=Path, help="training data; on its held-out clips bf16 and int8 are measured"
    )
    parser.add_argument(
        "--scores", type=Path, nargs="+", default=[], help="JSONs that `evaluate` wrote for these weights"
    )
    for key in ("summary", "data", "licence", "device"):
        parser.add_argument(f"--{key}", default="", help="for the card")
    parser.add_argument(
        "--force", metavar="REASON", help="publish although scores are worse or absent; kept in the card"
    )
    parser.set_defaults(run=_publish)


def _publish(options: argparse.Namespace, _: Sequence[str]) -> int:
    import json  # noqa: PLC0415

    from service.objects.open import open_storage  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415
    from training.data.sequences import validation_sequences  # noqa: PLC0415
    from training.data.sources import load_library  # noqa: PLC0415
    from training.weights.publish import Facts, GateClosedError, check_sound, publish, write_checkpoint  # noqa: PLC0415

    library = load_library(options.held_out) if options.held_out else None
    facts = Facts(
        name=options.name, summary=options.summary, data=options.data, licence=options.licence,
        device=options.device,
        sequences=validation_sequences(library, "bd") if library else (),
        scores=[json.loads(file.read_text()) for file in options.scores],
    )  # fmt: skip
    try:
        if options.folder:
            version = write_checkpoint(options.source, options.folder, facts)
            check_sound(options.folder, version)
        else:
            with tempfile.TemporaryDirectory() as folder:
                write_checkpoint(options.source, Path(folder), facts)
                version = publish(open_storage(Settings()), options.name, Path(folder), force=options.force)
    except GateClosedError as error:
        print(f"not published: {error}", file=sys.stderr)
        return 1
    print(f"{options.name} {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
