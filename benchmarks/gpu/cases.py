"""Cases share out a number of seconds: each is told when to be done; a late one takes from the rest."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Record = dict[str, Any]  # one line of the report; `kind` says which


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured together, since only figures of one run compare.

    weight   its part of the time, against those of the other cases
    run      told the moment of time.monotonic() at which to be done; gives what it has by then
    """

    name: str
    weight: float
    run: Callable[[float], list[Record]]


def measure(cases: Sequence[Case], ends_at: float) -> tuple[list[Record], list[str]]:
    """Run them in turn; -> records, and the names of cases that were left out."""
    records: list[Record] = []
    left_out: list[str] = []
    for index, case in enumerate(cases):
        now = time.monotonic()
        if now >= ends_at:
            left_out.append(case.name)
            continue
        share = case.weight / sum(each.weight for each in cases[index:])
        records += case.run(now + (ends_at - now) * share)
    return records, left_out


def finish(device: torch.device) -> None:
    """Wait for what was asked of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_mib(device: torch.device) -> float | None:
    """Of the device's memory since `forget_peak`; None on a processor."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
