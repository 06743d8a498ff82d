"""Footprint: how much memory a step takes, and so how many pixels one call may have on a device.

An estimate from the shapes of G's layers, for devices whose memory cannot be swapped; what it gets wrong, and
what others take meanwhile, fitting.py finds out.
"""

from typing import Final

from model_core.config import SCALE, ModelConfig

SHARE: Final = 0.4  # of what is free: recordings, other models and workspaces of libraries need theirs
PIXELS_MAX: Final = 1 << 21  # sixteen frames of 480x270, or one of 1920x1080 whole
PIXELS_MIN: Final = 1 << 16

_HIGH: Final = SCALE**2  # pixels of the output for each of the input
_FLOAT_BYTES: Final = 4
_MAPS: Final = 3  # alive at once within a residual block: its input, its change, what a layer makes of that
# Float pictures at full size: residual, sum, what is made of it; and the last output before and after motion.
_PICTURES: Final = 3
_PICTURES_RECURRENT: Final = 5


def bytes_a_pixel(config: ModelConfig, value_bytes: int) -> int:
    """Bytes for each pixel of the input.

    value_bytes   of each number between layers; pictures and states are float32
    """
    pictures = 3 * _HIGH * _FLOAT_BYTES * (_PICTURES_RECURRENT if config.recurrent else _PICTURES)
    body = _widest(config) * value_bytes
    state = 2 * config.hidden * _FLOAT_BYTES
    return pictures + body + state


def pixels_that_fit(config: ModelConfig, value_bytes: int, free_bytes: int) -> int:
    """How many pixels one call of G is given where so many bytes are free."""
    fitting = int(free_bytes * SHARE) // bytes_a_pixel(config, value_bytes)
    return max(PIXELS_MIN, min(PIXELS_MAX, fitting))


def _widest(config: ModelConfig) -> int:
    """Numbers between layers for each pixel of the input, where there are most of them at once."""
    features, inputs = config.features, 3 * config.window + 3 * _HIGH + config.hidden
    match config.generator:
        case "frvsr":
            return inputs + (_MAPS if config.head == "subpixel" else 2 * _HIGH) * features
        case "compact":
            return _MAPS * features
        case "rrdb":  # its convolutions at full size; they outweigh the dense blocks
            return _MAPS * _HIGH * features
        case "srresnet":  # its second convolution before enlarging, and the first's output
            return 2 * _HIGH * features + _HIGH // SCALE * features
        case "srcnn":  # it pads in float32 even where the rest is narrow
            return 5 * _HIGH * features
        case "bicubic":
            return 3
