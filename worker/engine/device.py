"""Device: whether it still takes work."""

import torch


def answers(device: torch.device) -> bool:
    """False where CUDA lost its context, by a fault in memory or on the bus: in this process no call works
    ever again then, whatever it asks."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
        except RuntimeError:
            return False
    return True
