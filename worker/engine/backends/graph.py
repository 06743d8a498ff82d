"""Graph: what OpenVINO runs of a model, compiled for one size of picture at a time.

G with its skip and its roundings, from bytes to bytes, or of deep pictures from floats to floats; what moves
pictures by the flow stands before it (openvino.py). The graph is traced from the model's own modules, so that
weights and layers have one definition.
"""

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from openvino.passes import ConstantFolding, Manager
from torch import Tensor, nn

from model_core.config import SCALE, ModelConfig
from model_core.generator import FrvsrGenerator
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.warping import space_to_depth

Array = NDArray[Any]

COMPILED_MAX: Final = 8  # sizes of picture that stay compiled; another takes a tenth of a second


class _RecurrentStep(nn.Module):
    """One step of a recurrent G, whose skip is given since OpenCV enlarges a frame in a tenth of the time.

    Takes, in this order and as far as the model has them:
    before, frame, ahead   (1, h, w, 3) uint8; of a deep graph float32 in [0, 1]
    warped, enlarged       (1, 4h, 4w, 3) float32 in [0, 1]: the last output moved, the frame enlarged
    hidden                 (1, h, w, hidden) float32 in [-1, 1], moved
    Gives the picture (1, 4h, 4w, 3) uint8, unless the graph is deep, the same as float32 clamped to [0, 1],
    the next hidden state like `hidden` if the model has one, and last a sum that is finite where all is
    """

    def __init__(self, generator: FrvsrGenerator, config: ModelConfig) -> None:
        super().__init__()
        self.generator = generator
        self._window, self._has_hidden = config.window, config.hidden > 0

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        frames, (warped, enlarged, *hidden) = arrays[: self._window], arrays[self._window :]
        is_deep = frames[0].is_floating_point()
        seen = [_planes(frame) if is_deep else to_float(frame) for frame in frames]
        seen.append(space_to_depth(_planes(warped)))
        seen += [_planes(each) for each in hidden]
        residual, carried = self.generator.residual(torch.cat(seen, dim=1))
        high = _planes(enlarged) + residual
        made = [high.clamp(0, 1).permute(0, 2, 3, 1)]
        if not is_deep:
            made.insert(0, to_uint8(high))
        if self._has_hidden:
            made.append(carried.permute(0, 2, 3, 1))
        return (*made, high.sum())


class _PictureStep(nn.Module):
    """A network for pictures: (1, h, w, 3) uint8 -> (1, 4h, 4w, 3) uint8, and a sum, finite where all is.

    Of a deep graph both pictures are float32 in [0, 1].
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        if frame.is_floating_point():
            high = self.generator(_planes(frame))
            return high.clamp(0, 1).permute(0, 2, 3, 1), high.sum()
        high = self.generator(to_float(frame))
        return to_uint8(high), high.sum()


class StepGraph:
    """Compiled graphs of one model by size; for one thread at a time.

    is_deep   frames come, and pictures go, as float32, since eight bits would not hold them; rounding them is
              left to the caller then. Rather than a second kind of whole number, which OpenVINO's operators
              convert by way of float32 too.
    """

    def __init__(self, model: Model, *, properties: Mapping[str, Any], is_deep: bool = False) -> None:
        config = model.config
        generator = model.generator
        side = 16  # of the picture that the trace is made with; any will do
        low, high = (1, side, side, 3), (1, SCALE * side, SCALE * side, 3)
        samples = torch.float32 if is_deep else torch.uint8
        if isinstance(generator, FrvsrGenerator):
            step: nn.Module = _RecurrentStep(generator, config)
            example = [torch.zeros(low, dtype=samples)] * config.window + [torch.zeros(high)] * 2
            example += [torch.zeros(1, side, side, config.hidden)] * (config.hidden > 0)
        else:
            step, example = _PictureStep(generator), [torch.zeros(low, dtype=samples)]
        self._graph = _traced(step.eval(), tuple(example))
        self._properties = dict(properties)
        self._core = ov.Core()
        self._requests: OrderedDict[tuple[int, int], ov.InferRequest] = OrderedDict()

    def run(self, inputs: Sequence[Array], *, into: Sequence[Array]) -> bool:
        """Fill arrays with what the step gives; whether that is finite.

        Arrays are those of the step without their first dimension. Results must be C-contiguous.
        """
        inputs = [np.ascontiguousarray(array) for array in inputs]
        request = self._request([array.shape for array in inputs])
        for index, array in enumerate(into):
            request.set_output_tensor(index, ov.Tensor(array[None], shared_memory=True))
        given = [ov.Tensor(array[None], shared_memory=True) for array in inputs]
        request.infer(given, share_inputs=True)
        return bool(np.isfinite(request.get_output_tensor(len(into)).data))

    def _request(self, shapes: Sequence[tuple[int, ...]]) -> ov.InferRequest:
        height, width = shapes[0][:2]
        request = self._requests.pop((height, width), None)
        if request is None:
            self._graph.reshape({index: ov.PartialShape([1, *shape]) for index, shape in enumerate(shapes)})
            compiled = self._core.compile_model(self._graph, "CPU", self._properties)
            request = compiled.create_infer_request()
            while len(self._requests) >= COMPILED_MAX:
                self._requests.popitem(last=False)
        self._requests[height, width] = request  # the last one to be dropped
        return request


def _traced(step: nn.Module, example: tuple[Tensor, ...]) -> ov.Model:
    # OpenVINO's own convert_model does this too, and then reports its use to whoever makes it. Tracing is
    # what it does best: torch.export, which is to replace it, takes a second for each size of picture.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        # PyTorch's own check of a trace takes twice as long as the trace; the gate compares pictures anyway.
        decoder = TorchScriptPythonDecoder(step, example_input=example, trace_kwargs={"check_trace": False})
        frontend = FrontEndManager().load_by_framework("pytorch")
        graph = frontend.convert(frontend.load(decoder))
    passes = Manager()
    passes.register_pass(ConstantFolding())  # int8 convolutions are known by constant ranges
    passes.run_passes(graph)
    return graph


def _planes(picture: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, C, H, W)."""
    return picture.permute(0, 3, 1, 2)
