"""Rows of clips, uint8 as they were cut out, to the batch that a step learns from.

A row is turned and made float only on the device of the run: a quarter of the bytes cross the bus, and what
costs most of a batch is done there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_core.pixels import to_float


@dataclass(frozen=True, slots=True)
class Batch:
    """low (N, T, 3, h, w), target (N, T, 3, H, W) float RGB in [0, 1]; flow as in Row, or None.

    pixel_factor   (N,) of each clip's pixel loss, or None: 1
    """

    low: Tensor
    target: Tensor
    flow: Tensor | None
    pixel_factor: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One clip of a batch, uint8, time first: target (T, H, W, 3), low (T, h, w, 3), flow (F, 2, h, w).

    F is T-1, or 2T-2 where motion both ways is wanted: that of the clip played forth and back.
    turn   how the batch shows it: flipped in x for 1, in y for 2, then both axes exchanged for 4, or a sum
    pixel_factor   how much more than another clip's its pixel loss counts
    """

    target: NDArray[np.uint8]
    low: NDArray[np.uint8]
    flow: NDArray[np.float32] | None
    turn: int
    pixel_factor: float = 1.0


def collate(rows: list[Row], device: torch.device) -> Batch:
    turns = [row.turn for row in rows]
    low = _pictures([row.low for row in rows], turns, device)
    target = _pictures([row.target for row in rows], turns, device)
    flows = [turn_flow(row.flow, row.turn) for row in rows if row.flow is not None]
    flow = _upload(np.stack(flows), device) if len(flows) == len(rows) else None
    return Batch(low, target, flow, _upload(np.array([row.pixel_factor for row in rows], np.float32), device))


def turn_flow(flow: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """(F, 2, h, w) of a turned clip: the components move with the axes."""
    flow = flow[:, :, :: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
    flow = flow * np.array([-1 if turn & 1 else 1, -1 if turn & 2 else 1], np.float32)[:, None, None]
    return flow[:, ::-1].swapaxes(2, 3) if turn & 4 else flow


def _pictures(clips: list[NDArray[np.uint8]], turns: list[int], device: torch.device) -> Tensor:
    """Clips (T, H, W, 3) -> (N, T, 3, H, W) float, turned, on the device."""
    frames = _upload(np.stack(clips), device)
    turned = torch.stack([_turn(clip, turn) for clip, turn in zip(frames, turns, strict=True)])
    return to_float(turned.flatten(0, 1)).view(*turned.shape[:2], 3, *turned.shape[2:4])


def _turn(clip: Tensor, turn: int) -> Tensor:
    """(T, H, W, 3)."""
    axes = [axis for bit, axis in ((1, 2), (2, 1)) if turn & bit]
    clip = clip.flip(axes) if axes else clip
    return clip.transpose(1, 2) if turn & 4 else clip


def _upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """From pinned memory on CUDA, so that the loader's thread waits for none of the work queued there."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
