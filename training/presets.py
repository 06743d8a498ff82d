"""Presets: the trainings that have a name. What each key means: config.py; what came of them: LOG.md."""

from dataclasses import replace
from typing import Final

from training.config import TrainingConfig

# Photographs as they are, one at a time.
_PICTURES: Final = TrainingConfig(
    generator="srresnet", flow="none", frames=1, photo_share=1.0, batch=16, crop=24,
    learning_rate=1e-4,
)  # fmt: skip
# D keeps G's pace: a faster one won within 40 steps (LOG.md).
_PERCEPTUAL: Final = replace(
    _PICTURES, vgg_weight=0.3, gan_weight=0.02, critic_start=150, critic_lead_max=1.0,
)  # fmt: skip

# The trunk's network. No shipped weights of these two have it yet: they are 64 features and 10 blocks.
_TECO_LITE: Final = TrainingConfig(
    flow="dis-fast", features=96, blocks=3, window=3, hidden=48, frames=5,
    learning_rate=1.5e-4, warmup_iterations=100, iterations=6000, ema_decay=0.998,
    ping_pong_weight=0.5, vgg_weight=0.4, gan_weight=0.1, critic_weight=0.2,
    critic_pace=4.0, critic_start=150, critic_lead_max=3.0,
)  # fmt: skip

_TRUNK: Final = TrainingConfig(
    flow="dis-fast", features=96, blocks=3, window=3, hidden=48, batch=16,
    optimiser="muon", rate_course="constant", iterations=0, warmup_iterations=100, clip_norm=0.0,
    luma_share=0.6, validate_every=250,
)  # fmt: skip

PRESETS: Final = {
    # F alone on synthetic motion; a start for joint training. 3,000 steps take 12 minutes of 2 cores.
    "flow_pyramid": TrainingConfig(
        task="flow", flow="pyramid", batch=8, frames=2, crop=48, learning_rate=6e-4, iterations=3000,
        photo_share=1.0,
    ),
    # Three frames and a memory, at constant rate, without an end: what ships branches off and decays
    # (--branch-of runs/trunk --rate-course linear --iterations 600).
    "trunk": _TRUNK,
    # The published recipe (TecoGAN's FRVSR): crop of 128 high-resolution pixels, both losses weighted 1.
    "frvsr_paper": TrainingConfig(
        flow="fnet", head="transposed", blocks=16, batch=4, frames=10, crop=32, learning_rate=1e-4,
        warp_weight=1.0, iterations=400_000, photo_share=0.0,
    ),
    # TecoGAN's losses, from `frvsr-lite`'s weights (--init); how they came to be weighed: LOG.md.
    "teco_lite": _TECO_LITE,
    # The same for what people upload; what each change is worth: LOG.md.
    "real_lite": replace(
        _TECO_LITE, protocol="upload", batch=3, frames=6, learning_rate=1e-4,
        pixel_loss="log_square", pixel_weight=0.02, picked_factor=4.0,
        vgg_distance="lpips", vgg_weight=1.0, gan_weight=0.05, critic_weight=0.1,
    ),
    # The published recipe, begun from `frvsr_paper`.
    "tecogan_paper": TrainingConfig(
        flow="fnet", head="transposed", blocks=16, batch=4, frames=10, crop=32, learning_rate=5e-5,
        warp_weight=1.0, iterations=500_000, photo_share=0.0,
        ping_pong_weight=0.5, vgg_weight=0.2, gan_weight=0.01, critic_weight=0.02,
    ),
    "srcnn": replace(_PICTURES, generator="srcnn", iterations=100_000, learning_rate=4e-4),
    # Sizes, crops and lengths of srgan, esrgan and bebygan are the published ones. Each began from a G that
    # knew the pixel loss alone: srgan or esrgan with --gan-weight 0 --vgg-weight 0, then --init. An RRDB for
    # a processor: --features 32 --growth 16 --blocks 3.
    "srgan": replace(_PERCEPTUAL, blocks=16, iterations=200_000),
    "esrgan": replace(
        _PERCEPTUAL, generator="rrdb", blocks=23, crop=32, critic_kind="relativistic", iterations=400_000,
    ),
    # ESRGAN's G and BSRGAN's degradations, as in BSRGAN's paper; D is the plain one there, too.
    "real_world": replace(
        _PERCEPTUAL, generator="rrdb", blocks=23, crop=32, protocol="bsrgan", iterations=400_000,
    ),
    "bebygan": replace(
        _PERCEPTUAL, generator="rrdb", blocks=23, batch=8, crop=48, critic_kind="relativistic",
        critic_sees="textured", pixel_weight=0.0, best_buddy_weight=1.0, back_projection_weight=1.0,
        iterations=600_000,
    ),
}  # fmt: skip
