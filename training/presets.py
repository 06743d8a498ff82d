"""Presets: the trainings that have a name. What each key means: config.py; what came of them: LOG.md.

Weights that ship came of `trunk`, and of `teco_lite` and `real_lite` at their former size. The others are
recipes that were tried for minutes and whose weights nobody ships.
"""

from dataclasses import replace
from typing import Final

from model_core.config import ModelConfig
from training.config import CriticConfig, DataConfig, LossConfig, ScheduleConfig, TrainingConfig

# Three frames and a memory. The shipped real-lite doesn't have it yet: 64 features and 10 blocks.
_LITE: Final = ModelConfig(generator="frvsr", flow="dis-fast", features=96, blocks=3, window=3, hidden=48)
# TecoGAN's published networks.
_PAPER: Final = ModelConfig(generator="frvsr", flow="fnet", head="transposed", blocks=16)
_RRDB: Final = ModelConfig(generator="rrdb", flow="none", blocks=23)


# Photographs as they are, one at a time.
_PICTURES: Final = DataConfig(frames=1, photo_share=1.0, batch=16, crop=24)
_LARGER_PICTURES: Final = replace(_PICTURES, crop=32)
_PERCEPTUAL: Final = LossConfig(vgg_weight=0.1, gan_weight=0.02)
# D keeps G's pace: a faster one won within 40 steps (LOG.md).
_STEADY: Final = CriticConfig(start=150, lead_max=1.0)
_RELATIVISTIC: Final = replace(_STEADY, kind="relativistic")

# TecoGAN's published balance; D at G's pace rests above its published lead, CriticConfig's default.
_TECOGAN: Final = LossConfig(ping_pong_weight=0.5, vgg_weight=0.2, gan_weight=0.01, critic_weight=0.02)
_TECO_LITE: Final = TrainingConfig(
    model=_LITE,
    losses=_TECOGAN,
    critic=CriticConfig(start=150),
    schedule=ScheduleConfig(learning_rate=1.5e-4, warmup_iterations=100, iterations=6000, ema_decay=0.998),
)

PRESETS: Final = {
    # At constant rate, without an end: what ships branches off and decays
    # (--branch-of runs/trunk/state --rate-course linear --iterations 600).
    "trunk": TrainingConfig(
        model=_LITE,
        data=DataConfig(batch=16),
        losses=LossConfig(luma_share=0.6),
        schedule=ScheduleConfig(
            optimiser="muon", rate_course="constant", iterations=0, warmup_iterations=100, clip_norm=0.0
        ),
        validate_every=250,
    ),
    # TecoGAN's losses, from `frvsr-lite`'s weights (--init). What ships had others: LOG.md.
    "teco_lite": _TECO_LITE,
    # The same for what people upload; what each change is worth: LOG.md.
    "real_lite": replace(
        _TECO_LITE,
        data=DataConfig(protocol="upload", batch=3, frames=6),
        losses=LossConfig(
            pixel_loss="log_square", pixel_weight=0.02, picked_factor=4.0, ping_pong_weight=0.5,
            vgg_distance="lpips", vgg_weight=1.0, gan_weight=0.05, critic_weight=0.025,
        ),
        critic=CriticConfig(pace=4.0, start=150, lead_max=3.0),
        schedule=replace(_TECO_LITE.schedule, learning_rate=1e-4),
    ),

    # From here on, nothing ships.

    # F alone on synthetic motion; a start for joint training. 3,000 steps take 12 minutes of 2 cores.
    "flow_pyramid": TrainingConfig(
        task="flow",
        model=ModelConfig(generator="frvsr", flow="pyramid"),
        data=DataConfig(batch=8, frames=2, crop=48, photo_share=1.0),
        schedule=ScheduleConfig(learning_rate=6e-4, iterations=3000),
    ),
    # The published recipe (TecoGAN's FRVSR): crop of 128 high-resolution pixels, both losses weighted 1.
    "frvsr_paper": TrainingConfig(
        model=_PAPER,
        data=DataConfig(photo_share=0.0),
        losses=LossConfig(warp_weight=1.0),
        schedule=ScheduleConfig(learning_rate=1e-4, iterations=400_000),
    ),
    # The published recipe, begun from `frvsr_paper`.
    "tecogan_paper": TrainingConfig(
        model=_PAPER,
        data=DataConfig(photo_share=0.0),
        losses=replace(_TECOGAN, warp_weight=1.0, looks_at="all"),
        schedule=ScheduleConfig(learning_rate=5e-5, iterations=500_000),
    ),
    "srcnn": TrainingConfig(
        model=ModelConfig(generator="srcnn", flow="none"),
        data=_PICTURES,
        schedule=ScheduleConfig(learning_rate=4e-4, iterations=100_000),
    ),
    # Sizes, crops and lengths of srgan, esrgan and bebygan are the published ones. Each began from a G that
    # knew the pixel loss alone: srgan or esrgan with --gan-weight 0 --vgg-weight 0, then --init. An RRDB for
    # a processor: --features 32 --growth 16 --blocks 3.
    "srgan": TrainingConfig(
        model=ModelConfig(generator="srresnet", flow="none", blocks=16),
        data=_PICTURES,
        losses=_PERCEPTUAL,
        critic=_STEADY,
        schedule=ScheduleConfig(learning_rate=1e-4, iterations=200_000),
    ),
    "esrgan": TrainingConfig(
        model=_RRDB,
        data=_LARGER_PICTURES,
        losses=_PERCEPTUAL,
        critic=_RELATIVISTIC,
        schedule=ScheduleConfig(learning_rate=1e-4, iterations=400_000),
    ),
    # ESRGAN's G and BSRGAN's degradations, as in BSRGAN's paper; D is the plain one there, too.
    "real_world": TrainingConfig(
        model=_RRDB,
        data=replace(_LARGER_PICTURES, protocol="bsrgan"),
        losses=_PERCEPTUAL,
        critic=_STEADY,
        schedule=ScheduleConfig(learning_rate=1e-4, iterations=400_000),
    ),
    "bebygan": TrainingConfig(
        model=_RRDB,
        data=replace(_PICTURES, batch=8, crop=48),
        losses=replace(_PERCEPTUAL, pixel_weight=0.0, best_buddy_weight=1.0, back_projection_weight=1.0),
        critic=replace(_RELATIVISTIC, sees="textured"),
        schedule=ScheduleConfig(learning_rate=1e-4, iterations=600_000),
    ),
}  # fmt: skip
