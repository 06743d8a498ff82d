"""TorchBackend: the recurrence by PyTorch, on a CPU or a CUDA device.

It runs model_core.recurrence itself, so there is nothing here that could differ from it but precision (see
precision.py for the choice), tiles (tiles.py) and the way pixels travel: as whole numbers. Not here: where
tensors lie (place.py, cuda.py), which steps are recorded (replaying.py).
"""

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from model_core import recurrence
from model_core.config import ModelConfig
from model_core.generator import FrvsrGenerator
from model_core.model import Model
from model_core.pixels import to_float, to_levels, to_uint8, to_uint16
from model_core.recurrence import HIDDEN_LEVELS, State
from worker.engine.backends.base import Flow, Snapshot, Stepped, Turn
from worker.engine.backends.cuda import Cuda
from worker.engine.backends.footprint import pixels_that_fit
from worker.engine.backends.packing import Packer
from worker.engine.backends.place import Host, Place, Tensors
from worker.engine.backends.precision import Precision
from worker.engine.backends.replaying import Replayer
from worker.engine.backends.rows import gathered, hidden_levels, scattered
from worker.engine.device import answers
from worker.engine.pace import Pace
from worker.engine.tiles import HALO_MAX, generate_in_tiles
from worker.frames import LowFrame
from worker.yuv import Yuv420

DTYPES: Final[dict[Precision, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.float32,  # of a quantised model, whose rounding is simulated
}

# On a CPU. G with 64 features holds about 2 kB a pixel at its widest, so this is 1 GB; 960x540 runs whole.
TILE_PIXELS_MAX: Final = 1 << 19

# On a CPU a batch beyond this goes through G in parts: what passes between layers then stays in the cache.
# Eight frames of 180x144, fp32: 0.67 s of processor time each in one call, 0.49 s in eight (EPYC, one core).
CPU_CALL_PIXELS_MAX: Final = 1 << 15

# A step whose batch is larger is not recorded; and so many times as much in all recordings of a backend.
_RECORDED_PIXELS_MAX: Final = 4


class TorchBackend:
    """See base.Backend. The model is moved to the device and belongs to this backend from then on.

    tile_pixels_max   None: what suits the device
    place             None: that of the device
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        tile_pixels_max: int | None = None,
        place: Place | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._is_cuda = self._device.type == "cuda"
        # There it saves half of what crosses the bus, and the host's time.
        self.makes_yuv = self._is_cuda
        model = model.to(self._device).eval().requires_grad_(False)
        self.config: ModelConfig = model.config
        self._dtype = DTYPES[precision]
        self._model = model
        self._network: Callable[[Tensor], tuple[Tensor, Tensor]] = model.generate
        if self._dtype != torch.float32 and isinstance(model.generator, FrvsrGenerator):
            self._network = _Narrow(model.generator, self._dtype)
        self._place = place or (Cuda(self._device) if self._is_cuda else Host())
        self.name = f"torch-{self._device.type}"
        self.precision = precision
        self.tile_pixels_max = tile_pixels_max or self._tile_pixels_max()
        self.pace = Pace()
        self._packer = cache(partial(Packer, device=self._device))  # of a dozen colours at most
        self.replayer = Replayer(self._place, pixels_max=_RECORDED_PIXELS_MAX * self.tile_pixels_max)

    def answers(self) -> bool:
        return answers(self._device)

    @torch.inference_mode()
    def start(self, frame: LowFrame, resume: Snapshot | None) -> State | None:
        if not self.config.recurrent:
            return None
        with self._place.here():
            if resume is None:
                return State.clean(self.config, to_float(self._place.upload([frame])))
            hidden = self._place.upload([resume.hidden]).permute(0, 3, 1, 2)
            return State(
                to_float(self._place.upload([resume.frame])),
                to_float(self._place.upload([resume.output])),
                hidden.float() / HIDDEN_LEVELS,
            )

    @torch.inference_mode()
    def flows(self, previous: Sequence[LowFrame], frames: Sequence[LowFrame]) -> list[Flow]:
        with self._place.here(), self._autocast():
            pairs = [to_float(self._place.upload(each)) for each in (previous, frames)]
            return list(recurrence.estimate_flow(self._model, *pairs).unbind())

    @torch.inference_mode()
    def step(self, turns: Sequence[Turn]) -> list[Stepped]:
        made: dict[int, Stepped] = {}
        with self._place.here():
            for part in self._parts(turns):
                made |= zip(part, self._step([turns[row] for row in part]), strict=True)
        return [made[row] for row in range(len(turns))]

    def _parts(self, turns: Sequence[Turn]) -> Iterator[list[int]]:
        """Rows that make one batch: those whose outputs are of one kind."""
        most = len(turns) if self.config.recurrent else self._rows(*turns[0].frame.shape[:2])
        kinds = [turn.output_kind for turn in turns]
        for kind in dict.fromkeys(kinds):
            alike = [row for row, each in enumerate(kinds) if each == kind]
            yield from (alike[at : at + most] for at in range(0, len(alike), most))

    def _step(self, turns: Sequence[Turn]) -> list[Stepped]:
        # The picture of each turn, whether it is finite, and the parts of the new state.
        pictures, finite, *made = self._run(self._inputs(turns), turns[0].output_kind)
        after = scattered(State(*made), turns) if self.config.recurrent else [None] * len(turns)
        kept = [
            hidden_levels(row, turn.frame) for row, turn in zip(after, turns, strict=True) if turn.keeps_state
        ]
        is_finite, *arrived = self._place.download([finite, *pictures, *kept])
        outputs, hidden = arrived[: len(turns)], iter(arrived[len(turns) :])
        snapshots = [
            Snapshot(turn.frame, output, next(hidden)) if turn.keeps_state else None
            for turn, output in zip(turns, outputs, strict=True)
        ]
        return [
            Stepped(row, output if valid else None, snapshot)
            for row, output, valid, snapshot in zip(after, outputs, is_finite, snapshots, strict=True)
        ]

    def _inputs(self, turns: Sequence[Turn]) -> Tensors:
        """What `_advance` takes, or `_enlarge` where nothing is remembered."""
        frames = self._place.upload([turn.frame for turn in turns])
        if not self.config.recurrent:
            return (frames,)
        ahead = frames
        if self.config.looks_ahead:
            ahead = self._place.upload([turn.frame if turn.ahead is None else turn.ahead for turn in turns])
        state = gathered(turns)
        return (frames, ahead, self._flow_batch(turns), state.frame, state.output, state.hidden)

    def _run(self, inputs: Tensors, yuv: Yuv420 | None) -> Tensors:
        packer = None if yuv is None else self._packer(yuv)
        work = partial(self._advance if self.config.recurrent else self._enlarge, packer)
        count, height, width = inputs[0].shape[:3]
        if self._is_whole(count * height * width):
            return self.replayer.run(yuv, work, inputs)
        return work(*inputs)  # tile by tile, each of which is waited for

    def _advance(self, packer: Packer | None, *inputs: Tensor) -> Tensors:
        frames, ahead, flow, *before = inputs
        state, high = recurrence.step(
            self._model,
            State(*before),
            to_float(frames),
            flow,
            ahead=to_float(ahead),
            generate=self._generate,
        )
        return _picture(high, frames, packer), _is_finite(high), state.frame, state.output, state.hidden

    def _enlarge(self, packer: Packer | None, frames: Tensor) -> Tensors:
        """Without a state, which would cost a small picture as much as its network."""
        high = self._generate(to_float(frames))[0].float()
        return _picture(high, frames, packer), _is_finite(high)

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
        if self._is_cuda and self._is_whole(inputs.shape[-2] * inputs.shape[-1]):
            return self._network(inputs)  # to wait for it here would leave the device idle
        halo = min(self.config.receptive_radius, HALO_MAX)
        return generate_in_tiles(self._call, inputs, halo=halo, tile_pixels_max=self.tile_pixels_max)

    def _call(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """G on one tile, and the pace told when it is there."""
        count, _, height, width = inputs.shape
        with self.pace.call(count * height * width):
            made = self._network(inputs)
            if self._is_cuda:
                torch.cuda.current_stream(self._device).synchronize()
            return made

    def _is_whole(self, pixels: int) -> bool:
        """Whether so many go through G without being cut into tiles."""
        return pixels <= self.tile_pixels_max

    def _rows(self, height: int, width: int) -> int:
        """Frames of that size in one call of G."""
        return sys.maxsize if self._is_cuda else max(1, CPU_CALL_PIXELS_MAX // (height * width))

    def _tile_pixels_max(self) -> int:
        if isinstance(self._place, Cuda):
            return pixels_that_fit(self.config, self._dtype.itemsize, self._place.free_bytes)
        return TILE_PIXELS_MAX

    def _autocast(self) -> torch.autocast:
        """For F, and for networks whose own skip would be too coarse in a narrow format."""
        is_narrow = self._dtype != torch.float32
        return torch.autocast(self._device.type, dtype=self._dtype, enabled=is_narrow, cache_enabled=False)

    def _flow_batch(self, turns: Sequence[Turn]) -> Tensor:
        """(N, 2, h, w) on the device; zero for turns without a flow."""
        height, width = turns[0].frame.shape[:2]
        none = np.zeros((2, height, width), np.float32)
        flows = [none if turn.flow is None else turn.flow for turn in turns]
        arrays = [flow for flow in flows if isinstance(flow, np.ndarray)]
        if len(arrays) == len(flows):
            return self._place.upload(arrays)
        return torch.stack([torch.as_tensor(flow, device=self._device) for flow in flows])


class _Narrow(nn.Module):
    """G whose weights are in a narrower number format for good; autocast would cast them in every step.

    Its skip sees the frame as it came.
    """

    def __init__(self, generator: FrvsrGenerator, dtype: torch.dtype) -> None:
        super().__init__()
        self._wide, self._dtype = generator, dtype
        self._narrow = copy.deepcopy(generator).to(dtype=dtype)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        residual, hidden = self._narrow.residual(inputs.to(self._dtype))
        return self._wide.skip(inputs) + residual, hidden


def _picture(high: Tensor, frames: Tensor, packer: Packer | None) -> Tensor:
    """(N, 3, H, W) as (N, H, W, 3) of the frames' samples, or as YUV."""
    if packer is not None:
        return packer(to_levels(high))
    return (to_uint16 if frames.dtype == torch.uint16 else to_uint8)(high)


def _is_finite(high: Tensor) -> Tensor:
    """(N,) bool."""
    # A sum is not finite where a term isn't; the terms are about 1, so that it can't overflow by itself.
    # Not in float64: of a copy that large every page would have to be asked for.
    return high.sum(dim=(1, 2, 3)).isfinite()
