"""Precision: the number formats that models are computed in, and the choice among those of this machine.

A narrower format is chosen where the hardware has units for it and it costs the model less than LOSS_DB_MAX
of PSNR, as measured when it was published (`{"precision_loss_db": {"bfloat16": 0.01}}` in its card). Nothing
is timed: two workers on equal machines choose alike. Not here: how a format is used (torch.py, openvino.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import torch

Precision = Literal["float32", "bfloat16", "float16", "int8"]

LOSS_DB_MAX: Final = 0.05


def native(device_type: str) -> tuple[Precision, ...]:
    """Formats that the device has units for, the fastest first."""
    if device_type == "cuda":
        return ("float16", "bfloat16", "float32")
    has = torch.cpu.get_capabilities()
    int8 = has.get("avx512_vnni") or has.get("avx_vnni") or has.get("amx_int8")
    formats: list[Precision] = ["int8"] if int8 else []
    if has.get("amx_bf16"):
        formats.insert(0, "bfloat16")  # as fast as int8, and nearer to float32
    elif has.get("avx512_bf16"):
        formats.append("bfloat16")
    return (*formats, "float32")


def choose(card: Mapping[str, Any], formats: Iterable[Precision]) -> tuple[Precision, str]:
    """The first of the formats whose loss on the card is small, or float32; and the reason for the log."""
    losses = card.get("precision_loss_db", {})
    refused = []
    for precision in formats:
        if precision == "float32":
            break
        # float16 is finer than bfloat16 wherever it reaches; whether it does is seen by the gate.
        loss_db = losses.get(precision, losses.get("bfloat16") if precision == "float16" else None)
        if loss_db is None:
            refused.append(f"what {precision} costs was not measured")
        elif loss_db >= LOSS_DB_MAX:
            refused.append(f"{precision} costs {loss_db:.3f} dB")
        else:
            return precision, "; ".join([*refused, f"native here, costs {loss_db:.3f} dB"])
    return "float32", "; ".join(refused) or "nothing narrower is native here"
