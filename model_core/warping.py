"""Geometry shared by serving and training: enlarging, warping, folding space into channels.

Pixel centres lie at half-pixels (`align_corners=False`), so nothing shifts when enlarged. The exception is
`corner4`, which is there for networks that were trained with it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model_core.config import SCALE, UpsamplingName


def bicubic4(low: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, 4h, 4w) by bicubic interpolation (a = -0.75), not antialiased; fp32."""
    return F.interpolate(low.float(), scale_factor=SCALE, mode="bicubic", align_corners=False)


def bilinear4(low: Tensor) -> Tensor:
    """The same by bilinear interpolation."""
    return F.interpolate(low.float(), scale_factor=SCALE, mode="bilinear", align_corners=False)


def corner4(low: Tensor) -> Tensor:
    """Bicubic, but sampled at the corner of each 4x4 block: output i at i / 4, not at (i + 0.5) / 4 - 0.5.

    Source: TecoGAN-PyTorch, net_utils.BicubicUpsample, after the resize of TensorFlow 1.
    """
    height, width = low.shape[-2:]
    # Corner alignment over one more pixel puts the samples at exact quarters; the last one is of that pixel.
    more = F.pad(low.float(), (0, 1, 0, 1), mode="replicate")
    size = (height * SCALE + 1, width * SCALE + 1)
    return F.interpolate(more, size=size, mode="bicubic", align_corners=True)[..., :-1, :-1]


def enlarge(low: Tensor, upsampling: UpsamplingName) -> Tensor:
    """(N, C, h, w) -> (N, C, 4h, 4w), fp32, as ModelConfig.upsampling says."""
    return {"bicubic": bicubic4, "bilinear": bilinear4, "corner": corner4}[upsampling](low)


def upsample_flow(flow_low: Tensor, upsampling: UpsamplingName = "bicubic") -> Tensor:
    """(N, 2, h, w) in low-resolution pixels -> (N, 2, 4h, 4w) in high-resolution pixels."""
    # Bilinear beside bicubic frames too: a flow has edges, and bicubic overshoots there.
    return SCALE * (corner4(flow_low) if upsampling == "corner" else bilinear4(flow_low))


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample `image` at positions moved by the flow (backward warping, bilinear).

    image    (N, C, H, W) float
    flow     (N, 2, H, W) float, pixels of that same grid; channel 0 is x; points from current to previous
    Returns  (N, C, H, W) float32; a sample outside the frame repeats the border pixel.
    """
    height, width = image.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=torch.float32).view(1, height, 1)
    x = torch.arange(width, device=flow.device, dtype=torch.float32).view(1, 1, width)
    flow = flow.float()
    # grid_sample's [-1, 1] spans the outer edges of the border pixels, hence the half-pixel.
    grid = torch.stack(
        ((x + flow[:, 0] + 0.5) * (2 / width) - 1, (y + flow[:, 1] + 0.5) * (2 / height) - 1), dim=-1
    )
    return F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def space_to_depth(high: Tensor) -> Tensor:
    """(N, 3, 4h, 4w) -> (N, 48, h, w), channels ordered (colour, row, column) as torch's pixel_unshuffle."""
    return F.pixel_unshuffle(high, SCALE)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeat the right and bottom borders until both sides are multiples; the origin stays where it is."""
    height, width = image.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    return F.pad(image, (0, right, 0, bottom), mode="replicate") if right or bottom else image
