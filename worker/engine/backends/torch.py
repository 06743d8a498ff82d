"""TorchBackend: the recurrence by PyTorch, on a CPU or a CUDA device.

It runs model_core.recurrence itself, so there is nothing here that could differ from it but precision (see
precision.py for the choice), tiles (tiles.py) and the way pixels travel: as whole numbers across the bus,
from and into pinned memory on CUDA.
"""

import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_core import recurrence
from model_core.config import ModelConfig
from model_core.model import Model
from model_core.pixels import to_float, to_uint8, to_uint16
from model_core.recurrence import HIDDEN_LEVELS, State
from worker.engine.backends.base import Flow, Snapshot, Stepped, Turn
from worker.engine.backends.precision import Precision
from worker.engine.device import answers
from worker.engine.pace import Pace
from worker.engine.tiles import HALO_MAX, generate_in_tiles
from worker.frames import HighFrame, LowFrame, is_deep, last_level

DTYPES: Final[dict[Precision, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.float32,  # of a quantised model, whose rounding is simulated
}

# G with 64 features holds about 2 kB a pixel at its widest, so this is 1 GB; 960x540 still runs whole.
TILE_PIXELS_MAX = 1 << 19

# On a CPU a batch beyond this goes through G in parts: what passes between layers then stays in the cache.
# Eight frames of 180x144, fp32: 0.67 s of processor time each in one call, 0.49 s in eight (EPYC, one core).
CPU_CALL_PIXELS_MAX = 1 << 15


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
        self.pace = Pace()

    def answers(self) -> bool:
        return answers(self._device)

    @torch.inference_mode()
    def start(self, frame: LowFrame, resume: Snapshot | None) -> State | None:
        if not self.config.recurrent:
            return None
        if resume is None:
            return State.clean(self.config, to_float(self._upload([frame])))
        hidden = torch.from_numpy(resume.hidden).to(self._device).permute(2, 0, 1)[None]
        return State(
            to_float(self._upload([resume.frame])),
            to_float(self._upload([resume.output])),
            hidden.float() / HIDDEN_LEVELS,
        )

    @torch.inference_mode()
    def flows(self, previous: Sequence[LowFrame], frames: Sequence[LowFrame]) -> list[Flow]:
        with self._autocast():
            flow = recurrence.estimate_flow(
                self._model, to_float(self._upload(previous)), to_float(self._upload(frames))
            )
        return list(flow.unbind())

    @torch.inference_mode()
    def step(self, turns: Sequence[Turn]) -> list[Stepped]:
        rows = self._rows(turns[0].frame.shape[0], turns[0].frame.shape[1])
        if not self.config.recurrent and len(turns) > rows:
            return [each for at in range(0, len(turns), rows) for each in self._step(turns[at : at + rows])]
        return self._step(turns)

    def _step(self, turns: Sequence[Turn]) -> list[Stepped]:
        frame = to_float(self._upload([turn.frame for turn in turns]))
        after: Sequence[State | None]
        if self.config.recurrent:
            high, after = self._recur(turns, frame)
        else:  # a state would cost a small picture as much as its network
            high, after = self._generate(frame)[0].float(), [None] * len(turns)
        # A sum is not finite where a term isn't; the terms are about 1, so that it can't overflow by itself.
        # Not in float64: of a copy that large every page would have to be asked for.
        finite = high.sum(dim=(1, 2, 3)).isfinite().tolist()
        outputs = self._download((to_uint16 if is_deep(turns[0].frame) else to_uint8)(high))
        return [
            Stepped(
                row,
                np.array(output) if valid else None,
                _hidden_levels(row, turn.frame) if turn.keeps_state else None,
            )
            for turn, row, output, valid in zip(turns, after, outputs, finite, strict=True)
        ]

    def _recur(self, turns: Sequence[Turn], frame: Tensor) -> tuple[Tensor, list[State]]:
        ahead = None
        if self.config.looks_ahead:
            follow = [turn.frame if turn.ahead is None else turn.ahead for turn in turns]
            ahead = to_float(self._upload(follow))
        state, high = recurrence.step(
            self._model,
            _gathered(turns),
            frame,
            self._flow_batch([turn.flow for turn in turns], frame),
            ahead=ahead,
            generate=self._generate,
        )
        return high, _scattered(state, turns)

    def _generate(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        rows = self._rows(*inputs.shape[-2:])
        with self._autocast():
            parts = [self._generate_in_tiles(inputs[row : row + rows]) for row in range(0, len(inputs), rows)]
        if len(parts) == 1:
            return parts[0]
        highs, hiddens = zip(*parts, strict=True)
        return torch.cat(highs), torch.cat(hiddens)

    def _generate_in_tiles(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        if self._device.type == "cuda" and inputs.shape[-2] * inputs.shape[-1] <= self.tile_pixels_max:
            return self._model.generate(inputs)  # to wait for it here would leave the device idle
        halo = min(self.config.receptive_radius, HALO_MAX)
        return generate_in_tiles(self._call, inputs, halo=halo, tile_pixels_max=self.tile_pixels_max)

    def _call(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """G on one tile, and the pace told when it is there."""
        count, _, height, width = inputs.shape
        with self.pace.call(count * height * width):
            made = self._model.generate(inputs)
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
            return made

    def _rows(self, height: int, width: int) -> int:
        """Frames of that size in one call of G."""
        return max(1, CPU_CALL_PIXELS_MAX // (height * width)) if self._device.type == "cpu" else sys.maxsize

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

    def _upload(self, pictures: Sequence[LowFrame | HighFrame]) -> Tensor:
        """N pictures of one shape -> (N, h, w, 3) of the same samples on the device."""
        batch = torch.from_numpy(np.stack(pictures))
        if self._device.type == "cuda":
            return batch.pin_memory().to(self._device, non_blocking=True)
        return batch

    def _download(self, batch: Tensor) -> HighFrame:
        """(N, H, W, 3) whole numbers on the device -> the same in host memory, when it is complete."""
        if self._device.type == "cuda":
            pinned = torch.empty(batch.shape, dtype=batch.dtype, pin_memory=True)
            pinned.copy_(batch, non_blocking=True)
            torch.cuda.current_stream(self._device).synchronize()
            batch = pinned
        array: HighFrame = batch.numpy()
        return array


def _gathered(turns: Sequence[Turn]) -> State:
    rows = [turn.state for turn in turns if isinstance(turn.state, State)]
    assert len(rows) == len(turns), "a recurrent stream has a state"
    if len(rows) == 1:
        return rows[0]
    return State(
        torch.cat([row.frame for row in rows]),
        torch.cat([row.output for row in rows]),
        torch.cat([row.hidden for row in rows]),
    )


def _scattered(state: State, turns: Sequence[Turn]) -> list[State]:
    """One state for each row, in memory of its own: a slice would keep all other rows alive."""
    rows = [state]
    if len(turns) > 1:
        cuts = [slice(row, row + 1) for row in range(len(turns))]
        rows = [
            State(state.frame[cut].clone(), state.output[cut].clone(), state.hidden[cut].clone())
            for cut in cuts
        ]
    return [
        row.rounded(last_level(turn.frame)) if turn.keeps_state else row
        for row, turn in zip(rows, turns, strict=True)
    ]


def _hidden_levels(state: State | None, frame: LowFrame) -> NDArray[np.int8]:
    """(h, w, hidden) of one stream's state, in memory of its own."""
    if state is None:
        return np.zeros((*frame.shape[:2], 0), np.int8)
    levels = state.hidden[0].mul(HIDDEN_LEVELS).round().to(torch.int8).permute(1, 2, 0)
    return np.array(levels.cpu().numpy())
