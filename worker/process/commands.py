"""The command `worker`."""

import argparse

from service.command.arguments import Commands


def add(commands: Commands) -> None:
    commands.add("worker", _worker, help="run a worker for a service on many machines")


def _worker(_parsed: argparse.Namespace) -> int:
    from worker.process.main import run  # noqa: PLC0415 - torch and PyAV take seconds

    return run()
