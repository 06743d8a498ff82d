"""The score a run watches: PSNR on Y of its held-out clips, whole frames, each from a clean state."""

import torch
from torch import Tensor

from model_core.dis import DisFlow
from model_core.model import Model
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import State, estimate_flow, step
from training.data import Sequence
from training.metrics import luma, psnr

SKIPPED: int = 2  # frames at the start, before the state has filled


@torch.no_grad()
def validation_psnr(model: Model, sequences: list[Sequence]) -> tuple[float, Tensor]:
    """Mean over clips, in dB, and the last output (3, H, W) of the first clip."""
    scores, sample = [], torch.zeros(3, 4, 4)
    for sequence in sequences:
        highs = upscale_sequence(model, sequence)
        target = torch.from_numpy(sequence.target[SKIPPED:])
        found = [psnr(luma(a), luma(b)) for a, b in zip(to_uint8(highs[SKIPPED:]), target, strict=True)]
        scores.append(sum(found) / len(found))
        if sequence is sequences[0]:
            sample = highs[-1]
    return sum(scores) / len(scores), sample


def precision_loss_db(model: Model, sequences: list[Sequence]) -> dict[str, float]:
    """What bf16 autocast takes from the PSNR of those clips, by the name of the format; for a card."""
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16):
        narrow, _ = validation_psnr(model, sequences)
    return {"bfloat16": round(validation_psnr(model, sequences)[0] - narrow, 4)}


def upscale_sequence(model: Model, sequence: Sequence) -> Tensor:
    """(T, 3, H, W), not clamped, on the processor."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))  # bicubic has none
    frames = to_float(torch.from_numpy(sequence.low)).to(device)
    height, width = frames.shape[-2:]
    dis = DisFlow() if model.config.flow == "dis" else None
    state = State.clean(1, height, width, device=device)
    highs = []
    for t, frame in enumerate(frames):
        flow = frames.new_zeros(1, 2, height, width)
        if t > 0 and dis is not None:
            flow = torch.from_numpy(sequence.flow(dis, t - 1, t)).float()[None].to(device)
        elif t > 0 and model.config.recurrent:
            flow = estimate_flow(model, state.frame, frame[None])
        state, high = step(model, state, frame[None], flow)
        highs.append(high[0].cpu())
    return torch.stack(highs)
