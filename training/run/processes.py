"""The processes of one run: which one this is, what they must agree on, and how they are asked to stop."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's place; (0, 1) when it is alone."""

    rank: int
    count: int
    device: torch.device

    def wrap(self, module: nn.Module) -> nn.Module:
        """Gradients of what it returns are averaged over the processes."""
        return DistributedDataParallel(module) if self.count > 1 else module

    def slowest(self, value: float) -> float:
        """The largest of all processes' values: they must agree on time, or their schedules part."""
        return self._shared(value, dist.ReduceOp.MAX)

    def mean(self, value: float) -> float:
        return self._shared(value, dist.ReduceOp.SUM) / self.count

    def _shared(self, value: float, by: dist.ReduceOp.RedOpType) -> float:
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, by)
        return float(shared.item())

    def any(self, stopping: bool) -> bool:
        """Whether one wants to stop: if it did so alone, the others would wait for it for ever."""
        return self.slowest(float(stopping)) > 0

    def decided_by_first(self, choice: bool) -> bool:
        """What rank 0 says, for choices that are measured."""
        return self.any(choice if self.rank == 0 else False)


def join_processes() -> Processes:
    """Alone, or under torchrun one of the group that its environment describes."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        return Processes(0, 1, torch.device("cuda" if cuda else "cpu"))
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return Processes(dist.get_rank(), dist.get_world_size(), device)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """The yielded list is no longer empty once the process was asked to end: finish the step, save, leave."""
    caught: list[int] = []
    previous = {}
    with contextlib.suppress(ValueError):  # only the main thread may handle signals
        for name in (signal.SIGTERM, signal.SIGINT):
            previous[name] = signal.signal(name, lambda number, _: caught.append(number))
    try:
        yield caught
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
