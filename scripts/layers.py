"""Layers: what a network does to its input, layer by layer, seen by running it once.

The drawings take every channel count, kernel and slope from here, so they can't differ from the code.
"""
# ruff: noqa: RUF001 (the signs of mathematics stand in the drawings)

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with the activation that follows it.

    kind      what it is, in the words of the legend
    channels  channels it gives
    scale     height of its output over that of the traced input
    """

    kind: str
    channels: int
    scale: Fraction


def trace(network: Callable[..., object], *inputs: Tensor) -> list[Layer]:
    """The layers in the order in which they ran."""
    recorder = _Recorder(inputs[0].shape[-2])
    with torch.no_grad(), recorder:
        network(*inputs)
    return recorder.layers


class _Recorder(TorchFunctionMode):
    def __init__(self, height: int) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._height = height

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if kind := _kind(func.__name__, args, kwargs):
            self.layers.append(Layer(kind, output.shape[1], Fraction(output.shape[-2], self._height)))
        elif suffix := _activation(func.__name__, args, kwargs):
            self.layers[-1] = replace(self.layers[-1], kind=self.layers[-1].kind + suffix)
        return output


def _kind(name: str, args: Any, kwargs: Any) -> str | None:
    if name in ("conv2d", "conv_transpose2d"):
        kernel, stride = args[1].shape[-1], args[3][0]
        noun = "convolution" if name == "conv2d" else "transposed convolution"
        return f"{kernel}×{kernel} {noun}" + (f", stride {stride}" if stride > 1 else "")
    if name == "max_pool2d":
        return f"{args[1]}×{args[1]} max pooling"
    if name == "interpolate":
        return f"{kwargs['mode']} ×{kwargs['scale_factor']}"
    if name == "pixel_shuffle":
        return f"pixel shuffle ×{args[1]}"
    return "sum" if name == "add" else None


def _activation(name: str, args: Any, kwargs: Any) -> str | None:
    if name == "leaky_relu":
        return f", LeakyReLU {kwargs.get('negative_slope', args[-1]):g}"
    if name == "mul" and isinstance(args[1], float):
        return f" × {args[1]:g}"
    return {"relu": ", ReLU", "tanh": ", tanh"}.get(name)
