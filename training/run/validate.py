"""The scores a run watches: of its held-out clips, whole frames, each from a clean state."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_core.dis import DisFlow
from model_core.discriminator import Discriminator, triplet_stack
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.quantised import Ranges, measured_ranges, quantised
from model_core.recurrence import State, estimate_flow, step
from model_core.warping import bicubic4
from training.config import TrainingConfig
from training.data.sequences import Sequence
from training.losses.critic import as_judged, right
from training.losses.perceptual import Lpips
from training.run.critic import BORDER_PART, only_textured
from training.scores.metrics import luma, psnr

BORDER: Final = 8  # high-resolution pixels that PSNR leaves out on each side
SKIPPED: Final = 2  # frames at the start, before the state has filled
HELD_CLIPS: Final = 4  # of those watched, whose first frame is held; more tell the same
HELD_PART: Final = 8  # frames at either end that are compared


@torch.no_grad()
def validate(
    model: Model,
    sequences: list[Sequence],
    *,
    lpips: Lpips | None = None,
    judge: Callable[[Sequence, Tensor], float] | None = None,
) -> tuple[dict[str, float], list[NDArray[np.uint8]]]:
    """Mean scores over clips by name, and what the model made of each: (T, H, W, 3) uint8.

    judge   of a clip and its outputs (T, 3, H, W): how much of it D gets right
    """
    found: dict[str, list[float]] = {}
    outputs: list[NDArray[np.uint8]] = []
    for sequence in sequences:
        highs = upscale_sequence(model, sequence)
        output = to_uint8(highs)
        target = torch.from_numpy(sequence.target)
        scores = {"psnr": _mean(psnr(_inner_luma(a), _inner_luma(b)) for a, b in _kept(output, target))}
        if lpips is not None:
            seen = [(lpips.features(a), lpips.features(b)) for a, b in _kept(output, target)]
            scores["lpips"] = _mean(lpips.distance(a, b) for a, b in seen)
            if len(seen) > 1:
                scores["tlp"] = _mean(
                    100 * abs(lpips.distance(a[0], b[0]) - lpips.distance(a[1], b[1]))
                    for a, b in pairwise(seen)
                )
        if judge is not None:
            scores["critic_right_held_out"] = judge(sequence, highs)
        for name, value in scores.items():
            found.setdefault(name, []).append(value)
        outputs.append(np.asarray(output.numpy(), np.uint8))
    return {name: _mean(values) for name, values in found.items()}, outputs


@torch.no_grad()
def lost_when_held(model: Model, sequences: list[Sequence]) -> float:
    """Mean PSNR in dB that a picture held for a clip's length loses between its first frames and its last.

    A frame seen again tells nothing new, so what is lost the recurrence has added to itself: ripples.
    """
    lost = []
    for sequence in sequences[:HELD_CLIPS]:
        target, low = (np.repeat(each[:1], len(each), 0) for each in (sequence.target, sequence.low))
        held = replace(sequence, target=target, low=low, motion=0.0, flows={})
        output = to_uint8(upscale_sequence(model, held))
        kept = [psnr(_inner_luma(a), _inner_luma(b)) for a, b in _kept(output, torch.from_numpy(target))]
        lost.append(_mean(kept[:HELD_PART]) - _mean(kept[-HELD_PART:]))
    return _mean(lost)


def _kept(output: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    start = SKIPPED if len(output) > SKIPPED else 0  # a picture is no stream that has to fill
    return list(zip(output[start:], target[start:], strict=True))


def _inner_luma(picture: Tensor) -> Tensor:
    return luma(picture)[BORDER:-BORDER, BORDER:-BORDER]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


@torch.no_grad()
def critic_right(
    critic: Discriminator, model: Model, config: TrainingConfig, sequence: Sequence, highs: Tensor
) -> float:
    """The part of D's logits on a clip's middle, true and upscaled, that are right: 0.5 for a blind D."""
    device = next(critic.parameters()).device
    low, target = (to_float(torch.from_numpy(a)).to(device) for a in (sequence.low, sequence.target))
    t = len(highs) // 2
    pair = target, highs.to(device)
    if config.model.recurrent:
        dis = DisFlow(config.model.flow) if config.model.flow_comes_along else None
        back, ahead = (motion_between(model, dis, sequence, low, (other, t)) for other in (t - 1, t + 1))
        cut = slice(t - 1, t + 2)
        border = min(target.shape[-2:]) // BORDER_PART
        seen = [triplet_stack(high[None, cut], low[None, cut], back, ahead, border) for high in pair]
    else:
        seen = [high[t : t + 1] for high in pair]
    if config.critic.sees == "textured":
        seen = [only_textured(each, low[t : t + 1]) for each in seen]
    critic.eval()  # spectral normalisation must not move with what is only looked at
    of_real, of_fake = (critic(each)[0] for each in seen)
    critic.train()
    return float(right(*as_judged(of_real, of_fake, config.critic.kind)).item())


def sheet_row(
    sequence: Sequence, output: NDArray[np.uint8]
) -> tuple[str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """What report.crop_sheet shows of a clip: its name, bicubic, output and truth of the middle frame."""
    middle = len(output) // 2
    low = to_float(torch.from_numpy(sequence.low[middle : middle + 1]))
    plain = np.asarray(to_uint8(bicubic4(low)).numpy(), np.uint8)
    return sequence.name, plain[0], output[middle], sequence.target[middle]


def precision_losses(model: Model, sequences: list[Sequence]) -> tuple[dict[str, float], Ranges]:
    """What narrower formats take from the PSNR of those clips, by their names; and the ranges for int8, which
    are what the clips need, or nothing where no convolution can be rounded. For a card and its checkpoint."""
    device = next(model.parameters()).device
    psnr_db: dict[str, float] = {}

    def watch(name: str, watched: Model) -> None:
        psnr_db[name] = validate(watched, sequences)[0]["psnr"]

    ranges = measured_ranges(model, lambda watched: watch("float32", watched))
    with torch.autocast(device.type, torch.bfloat16):
        watch("bfloat16", model)
    if ranges:
        watch("int8", quantised(model, ranges))
    wide = psnr_db.pop("float32")
    return {name: round(wide - narrow, 4) for name, narrow in psnr_db.items()}, ranges


def upscale_sequence(model: Model, sequence: Sequence) -> Tensor:
    """(T, 3, H, W), not clamped, on the processor."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))  # bicubic has none
    frames = to_float(torch.from_numpy(sequence.low)).to(device)
    dis = DisFlow(model.config.flow) if model.config.flow_comes_along else None
    state = State.clean(model.config, frames[:1])
    highs = []
    for t, frame in enumerate(frames):
        flow = frames.new_zeros(1, 2, *frames.shape[-2:])
        if t > 0:
            flow = motion_between(model, dis, sequence, frames, (t - 1, t))
        ahead = frames[t + 1][None] if t + 1 < len(frames) else None
        state, high = step(model, state, frame[None], flow, ahead=ahead)
        highs.append(high[0].cpu())
    return torch.stack(highs)


def motion_between(
    model: Model, dis: DisFlow | None, sequence: Sequence, frames: Tensor, pair: tuple[int, int]
) -> Tensor:
    """(1, 2, h, w): where a pixel of the second frame is in the first, by the model's own kind of flow."""
    before, here = pair
    if dis is not None:
        return torch.from_numpy(sequence.flow(dis, before, here)).float()[None].to(frames.device)
    if not model.config.recurrent:
        return frames.new_zeros(1, 2, *frames.shape[-2:])
    return estimate_flow(model, frames[before][None], frames[here][None])
