"""TorchBackend: the recurrence by PyTorch, on a CPU or a CUDA device.

It runs model_core.recurrence itself, so there is nothing here that could differ from it but precision (see
precision.py for the choice), tiles (tiles.py) and the way pixels travel: uint8 across the bus, from and into
pinned memory on CUDA.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from model_core import recurrence
from model_core.config import ModelConfig
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State
from worker.engine.backends.base import Flow, Picture, Stepped
from worker.engine.backends.precision import DTYPES, Precision
from worker.engine.tiles import generate_in_tiles

# G with 64 features holds about 2 kB a pixel at its widest, so this is 1 GB; 960x540 still runs whole.
TILE_PIXELS_MAX = 1 << 19

# On a CPU a batch beyond this goes through G in parts: what passes between layers then stays in the cache.
# Eight frames of 180x144, fp32: 0.67 s of processor time each in one call, 0.49 s in eight (EPYC, one core).
CPU_CALL_PIXELS_MAX = 1 << 15

# A deep network could see further, 23 RRDB blocks 349 pixels: such halos leave a tile no centre, and a
# 1920x1080 frame would be computed a thousand times over. The farther, the fainter: with 6 blocks of random
# weights nothing beyond 64 moves a level (test_tiles). No published weights were at hand to measure.
HALO_MAX = 64


class TorchBackend:
    """See base.Backend. The model is moved to the device and belongs to this backend from then on."""

    def __init__(
        self,
        model: Model,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        tile_pixels_max: int = TILE_PIXELS_MAX,
    ) -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda":
            # PyTorch lets convolutions round their inputs to TF32's ten bits, which would not be float32.
            torch.backends.cudnn.allow_tf32 = False
        self._model = model.to(self._device).eval().requires_grad_(False)
        self._dtype = DTYPES[precision]
        self.config: ModelConfig = model.config
        self.name = f"torch-{self._device.type}"
        self.precision = precision
        self.tile_pixels_max = tile_pixels_max
        self._generate_in_tiles = partial(
            generate_in_tiles,
            self._model.generator,
            halo=min(self.config.receptive_radius, HALO_MAX),
            tile_pixels_max=tile_pixels_max,
        )

    @torch.inference_mode()
    def start(self, shape: tuple[int, int], resume: tuple[Picture, Picture] | None) -> State | None:
        if not self.config.recurrent:
            return None
        if resume is None:
            return State.clean(1, *shape, device=self._device)
        frame, output = resume
        return State(to_float(self._upload([frame])), to_float(self._upload([output])))

    @torch.inference_mode()
    def flows(self, previous: Sequence[Picture], frames: Sequence[Picture]) -> list[Flow]:
        with self._autocast():
            flow = recurrence.estimate_flow(
                self._model, to_float(self._upload(previous)), to_float(self._upload(frames))
            )
        return list(flow.unbind())

    @torch.inference_mode()
    def step(
        self,
        states: Sequence[State | None],
        frames: Sequence[Picture],
        flows: Sequence[Flow | None],
        rounded: Sequence[bool],
    ) -> list[Stepped]:
        frame = to_float(self._upload(frames))
        state, high = recurrence.step(
            self._model,
            _gathered(states) if self.config.recurrent else State(frame, frame),
            frame,
            self._flow_batch(flows, frame),
            generate=self._generate,
        )
        after = _scattered(state, rounded) if self.config.recurrent else [None] * len(frames)
        # A sum is not finite where a term isn't; the terms are about 1, so that it can't overflow by itself.
        finite = high.sum(dim=(1, 2, 3), dtype=torch.float64).isfinite().tolist()
        outputs = self._download(to_uint8(high))
        return [
            Stepped(row, np.array(output) if valid else None)
            for row, output, valid in zip(after, outputs, finite, strict=True)
        ]

    def _generate(self, inputs: Tensor) -> Tensor:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        height, width = inputs.shape[-2:]
        rows = max(1, CPU_CALL_PIXELS_MAX // (height * width)) if self._device.type == "cpu" else len(inputs)
        with self._autocast():
            parts = [self._generate_in_tiles(inputs[row : row + rows]) for row in range(0, len(inputs), rows)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _autocast(self) -> torch.autocast:
        # Autocast and not a converted model: the bicubic skip must see the frame in fp32.
        return torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype != torch.float32)

    def _flow_batch(self, flows: Sequence[Flow | None], frame: Tensor) -> Tensor:
        """(N, 2, h, w) on the device; zero for rows without a flow."""
        batch = frame.new_zeros(len(flows), 2, *frame.shape[-2:])
        for row, flow in zip(batch, flows, strict=True):
            if flow is not None:
                row.copy_(torch.as_tensor(flow))
        return batch

    def _upload(self, pictures: Sequence[Picture]) -> Tensor:
        """N pictures of one shape -> (N, h, w, 3) uint8 on the device."""
        batch = torch.from_numpy(np.stack(pictures))
        if self._device.type == "cuda":
            return batch.pin_memory().to(self._device, non_blocking=True)
        return batch

    def _download(self, batch: Tensor) -> Picture:
        """(N, H, W, 3) uint8 on the device -> the same in host memory, when it is complete."""
        if self._device.type == "cuda":
            pinned = torch.empty(batch.shape, dtype=batch.dtype, pin_memory=True)
            pinned.copy_(batch, non_blocking=True)
            torch.cuda.current_stream(self._device).synchronize()
            batch = pinned
        array: Picture = batch.numpy()
        return array


def _gathered(states: Sequence[State | None]) -> State:
    rows = [state for state in states if state is not None]
    assert len(rows) == len(states), "a recurrent stream has a state"
    if len(rows) == 1:
        return rows[0]
    return State(torch.cat([row.frame for row in rows]), torch.cat([row.output for row in rows]))


def _scattered(state: State, rounded: Sequence[bool]) -> list[State]:
    """One state for each row, in memory of its own: a slice would keep all other rows alive."""
    if len(rounded) == 1:
        rows = [state]
    else:
        rows = [
            State(state.frame[row : row + 1].clone(), state.output[row : row + 1].clone())
            for row in range(len(rounded))
        ]
    return [row.rounded() if is_rounded else row for row, is_rounded in zip(rows, rounded, strict=True)]
