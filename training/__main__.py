"""`python -m training`: train, evaluate, pack, publish."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.config import PRESETS, ConfigError, parse_overrides


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train(commands.add_parser("train", help="begin a training, or go on with the one in --out"))
    _add_evaluate(commands.add_parser("evaluate", help="score a model by the frozen protocol"))
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "train":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        return int(options.run(options, rest))
    except (ConfigError, OSError, ValueError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 2


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=sorted(PRESETS), default="frvsr_lite")
    parser.add_argument("--data", type=Path, required=True, help="folder of videos, frames and photographs, or a pack")
    parser.add_argument("--out", type=Path, required=True, help="where state, log and curves lie; begun anew or gone on with")
    parser.add_argument("--init", type=Path, help="weights to begin from: a checkpoint folder or a safetensors file")
    parser.add_argument("--stop-seconds", type=float, help="end this run, state written, within so many seconds")
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds between two written states")
    parser.add_argument("--stop-steps", type=int, help="end this run after so many steps")
    parser.epilog = "Every field of TrainingConfig is a key as well: --learning-rate 2e-4, --crop 44, ..."
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from training.sources import load_library  # noqa: PLC0415 (torch takes seconds, and --help none)
    from training.state import has_state, read_config  # noqa: PLC0415
    from training.train import Limits, train  # noqa: PLC0415

    state = options.out / "state"
    config = (read_config(state) if has_state(state) else PRESETS[options.preset]).override(parse_overrides(rest))
    progress = train(
        config, load_library(options.data), options.out,
        Limits(seconds=options.stop_seconds, steps=options.stop_steps, save_every_s=options.save_every),
        init=options.init,
    )  # fmt: skip
    print(f"step {progress.step}, {progress.seconds:.0f} s of training; state in {state}")
    return 0


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of clips (Vid4) or of images")
    parser.add_argument("--model", required=True, help="a shipped name, a checkpoint's or a training's folder, or a file")
    parser.add_argument("--protocol", choices=("bd", "bi"), default="bd")
    parser.add_argument("--json", type=Path, help="write scores here and a sheet of crops beside it, as .png")
    parser.add_argument("--weights", type=Path, help="folder of LPIPS weights; by default `weights` beside the data")
    parser.add_argument("--no-lpips", action="store_true", help="leave LPIPS and tLP out")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace, _: Sequence[str]) -> int:
    from training.evaluate import evaluate, load_model  # noqa: PLC0415
    from training.lpips import Lpips  # noqa: PLC0415

    lpips = None if options.no_lpips else Lpips(options.weights or default_weights(options.data))
    model, name = load_model(options.model)
    print(evaluate(options.data, model, name, protocol=options.protocol, lpips=lpips, json_path=options.json))
    return 0


def default_weights(data: Path) -> Path:
    """`weights` beside the data or one folder up, as the project's data lie."""
    folder = data.resolve()
    return next((near / "weights" for near in folder.parents[:2] if (near / "weights").is_dir()), folder / "weights")


if __name__ == "__main__":
    sys.exit(main())
