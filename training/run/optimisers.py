"""Optimisers: Muon for kernels and Adam for biases, or Adam for all.

Muon is momentum whose direction is made orthogonal. Source: Jordan et al. 2024, "Muon: an optimizer for
hidden layers in neural networks", with kernels flattened to (out, in x height x width). torch.optim.Muon
takes matrices alone, and a bare machine may lack it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Adam, Optimizer

from training.config import OptimiserName

BETAS: Final = (0.9, 0.99)
BIAS_PACE: Final = 2.0  # Adam's rate for biases as a multiple of Muon's
MOMENTUM: Final = 0.95
NEWTON_SCHULZ: Final = (3.4445, -4.775, 2.0315)  # brings singular values near 1 fast, and no nearer than .7
NEWTON_SCHULZ_STEPS: Final = 5
EPSILON: Final = 1e-7


def make_optimisers(network: nn.Module, name: OptimiserName) -> dict[str, Optimizer]:
    """By the names under which a state keeps them; rates are set at each step."""
    parameters = list(network.parameters())
    if name == "adam":
        return {"adam": Adam(parameters, betas=BETAS, fused=True)}
    biases: list[Any] = [{"params": [each for each in parameters if each.ndim < 2], "pace": BIAS_PACE}]
    return {
        "muon": Muon([each for each in parameters if each.ndim >= 2]),
        "adam": Adam(biases, betas=BETAS, fused=True),
    }


def set_rate(optimisers: Mapping[str, Optimizer], rate: float) -> None:
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("pace", 1.0)


class Muon(Optimizer):
    """lr is the root of the mean square of one update's entries, whatever the kernel's shape."""

    def __init__(self, kernels: Iterable[Parameter], lr: float = 0.0) -> None:
        super().__init__(kernels, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes gradients itself"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Parameter, Tensor]]] = {}
            for kernel in group["params"]:
                if kernel.grad is not None:
                    by_shape.setdefault(kernel.shape, []).append((kernel, self._nesterov(kernel)))
            for shape, members in by_shape.items():
                directions = orthogonal(torch.stack([move.reshape(shape[0], -1) for _, move in members]))
                # An orthogonal matrix of m rows and n columns has entries of a root mean square of
                # sqrt(1 / max(m, n)).
                scale = group["lr"] * max(directions.shape[1:]) ** 0.5
                for (kernel, _), direction in zip(members, directions, strict=True):
                    kernel.sub_(scale * direction.view(shape))

    def _nesterov(self, kernel: Parameter) -> Tensor:
        assert kernel.grad is not None
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(kernel.grad, 1 - MOMENTUM)
        return kernel.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """(K, m, n) -> the same with singular values brought near 1, by Newton and Schulz's iteration; fp32."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return torch.Tensor.contiguous(x.mT if tall else x)
