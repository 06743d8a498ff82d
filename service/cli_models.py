"""`upscaled models`: what the settings' storage offers, and bringing in weights that others published."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from service.api.catalogue import Catalogue
from service.objects.open import open_storage
from service.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # fits a storage key and the option `model`


def add_commands(commands: "Commands") -> None:
    models = commands.add_parser("models", help="list the models, or import published weights")
    verbs = models.add_subparsers(required=True, metavar="VERB")

    command = verbs.add_parser("list", help="what the storage offers")
    command.set_defaults(run=_list)

    command = verbs.add_parser("import", help="publish the weights in a .pth or .safetensors file")
    command.add_argument("file", metavar="FILE", type=_file)
    command.add_argument("--as", dest="name", metavar="NAME", type=_name, required=True)
    command.add_argument("--force", action="store_true", help="replace a model of that name")
    command.set_defaults(run=_import)


def _list(_parsed: argparse.Namespace) -> int:
    for entry in Catalogue(open_storage(Settings())).entries().values():
        version = entry.version or "with the workers"
        print(f"{entry.name:24} {version:17} {entry.card.get('summary', '')}".rstrip())
    return 0


def _import(parsed: argparse.Namespace) -> int:
    from worker.models.importing import import_model  # noqa: PLC0415 - torch, only here

    print(import_model(open_storage(Settings()), parsed.file, parsed.name, replace=parsed.force))
    return 0


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    return path


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a name is 1 to 64 letters, digits, '.', '-' and '_', a letter or digit first"
        )
    return text
