"""TrainingConfig: everything that decides what a run computes, in one frozen record.

Not here: where data, state and logs lie, and when this run must stop (train.py takes those from the command
line), since the same training may go on elsewhere tomorrow. Read next: train.py.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from model_core.config import FlowName, GeneratorName, HeadName, ModelConfig

LinearName = Literal["bd", "bi"]  # a fixed matrix each, so an output can be made small by it too
ProtocolName = Literal["bd", "bi", "bsrgan", "upload"]
EvaluationName = Literal["bd", "bi", "bd-x264", "decimated", "bd-noise10"]
PixelLossName = Literal["charbonnier", "log_square"]
TaskName = Literal["upscale", "flow"]
VggDistanceName = Literal["cosine", "lpips"]
OptimiserName = Literal["adam", "muon"]
RateCourseName = Literal["constant", "cosine", "linear"]
CriticKindName = Literal["vanilla", "relativistic"]
CriticSightName = Literal["all", "textured"]
PrecisionName = Literal["auto", "fp32", "bf16"]


WITHDRAWN: Final = frozenset({"late_from", "late_batch", "late_frames", "late_crop"})


class ConfigError(ValueError):
    """A key that does not exist, or a value that it cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Defaults are a small FRVSR of one frame and no memory: 64 features, 10 blocks, OpenCV's motion.

    task             what is learned: "upscale", G (and F where it is a network), or "flow", F alone
    generator        what enlarges; with flow "none" a network for pictures, whose clips have one frame
    batch            clips per step, over all processes
    frames           frames per clip
    crop             side of a crop in low-resolution pixels
    protocol         how low frames are made: "bd", "bi", or blind: "bsrgan", "upload" (protocols.py)
    photo_share      part of the clips that are photographs under a camera path, or as they are
    optimiser        "adam", or "muon" for kernels beside Adam for biases (optimisers.py)
    learning_rate    after a linear warm-up; Adam's, or the root mean square of Muon's updates
    rate_course      what becomes of it: "constant", a "cosine" that ends at a hundredth, "linear" to nothing
    iterations       length of the schedule in steps; 0 where `seconds` measures it
    seconds          length of the schedule in seconds of running, over all runs; 0 where `iterations` does.
                     A constant rate may have neither: such a training has no end
    clip_norm        longest gradient; longer ones are scaled down to it; 0 for no such bound
    pixel_loss       distance of output and target: "charbonnier", or "log_square" once that is near its end
    pixel_weight     its weight
    luma_share       part of it that is measured on luma, as PSNR is, the rest on red, green and blue
    picked_factor    how much more it weighs for clips made small without blur, which perceptual losses alone
                     leave half a pixel off
    warp_weight      squared distance of the frame and its warped predecessor; only where F is a network
    best_buddy_weight      distance of each patch to its best buddy in the target
    back_projection_weight distance of the input and the output made small again
    ping_pong_weight distance of the outputs on the way forth and on the way back; 0 plays clips forth only
    vgg_weight       distance of VGG16's features of output and target
    vgg_distance     "cosine" (TecoGAN's), or "lpips": each feature weighed by how much people see of it
    gan_weight       what D finds wrong with the output; 0 trains without D
    critic_weight    distance of D's own features of output and target
    critic_kind      "vanilla", or "relativistic": D tells which side is the more real one (ESRGAN)
    critic_sees      "all", or only what is "textured" in the input (Beby-GAN)
    critic_pace      D's learning rate as a multiple of G's
    critic_start     steps at the beginning in which D learns alone: an ignorant D only misleads G
    critic_lead_max  D rests while E[log D(target)] - E[log D(output)] is above this
    precision        "auto" times bf16 autocast against fp32 at the start and takes the faster
    """

    task: TaskName = "upscale"
    generator: GeneratorName = "frvsr"
    flow: FlowName = "dis"
    features: int = 64
    blocks: int = 10
    window: int = 1
    hidden: int = 0
    growth: int = 32
    head: HeadName = "subpixel"
    protocol: ProtocolName = "bd"
    batch: int = 4
    frames: int = 10
    crop: int = 32
    photo_share: float = 0.33
    optimiser: OptimiserName = "adam"
    learning_rate: float = 4e-4
    rate_course: RateCourseName = "cosine"
    warmup_iterations: int = 200
    iterations: int = 6000
    seconds: float = 0.0
    ema_decay: float = 0.999
    clip_norm: float = 0.5
    pixel_loss: PixelLossName = "charbonnier"
    pixel_weight: float = 1.0
    luma_share: float = 0.0
    picked_factor: float = 1.0
    warp_weight: float = 0.0
    best_buddy_weight: float = 0.0
    back_projection_weight: float = 0.0
    ping_pong_weight: float = 0.0
    vgg_weight: float = 0.0
    vgg_distance: VggDistanceName = "cosine"
    gan_weight: float = 0.0
    critic_weight: float = 0.0
    critic_kind: CriticKindName = "vanilla"
    critic_sees: CriticSightName = "all"
    critic_pace: float = 1.0
    critic_start: int = 0
    critic_lead_max: float = 0.4
    precision: PrecisionName = "auto"
    validate_every: int = 500
    seed: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (
            ("task", TaskName),
            ("protocol", ProtocolName),
            ("precision", PrecisionName),
            ("optimiser", OptimiserName),
            ("rate_course", RateCourseName),
            ("pixel_loss", PixelLossName),
            ("vgg_distance", VggDistanceName),
            ("critic_kind", CriticKindName),
            ("critic_sees", CriticSightName),
        ):
            if getattr(self, name) not in get_args(allowed):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; one of {get_args(allowed)} is expected"
                )
        endless = self.rate_course == "constant" and self.iterations == 0 == self.seconds
        if (self.iterations > 0) == (self.seconds > 0) and not endless:
            raise ConfigError(
                f"iterations is {self.iterations} and seconds {self.seconds}: exactly one gives the length"
            )
        self._check_frames()
        if self.critic_weight and not self.gan_weight:
            raise ConfigError(f"critic_weight is {self.critic_weight} and gan_weight 0: there is no D then")
        if self.back_projection_weight and self.protocol not in get_args(LinearName):
            raise ConfigError(
                f"back_projection_weight needs a known degradation, and {self.protocol!r} is drawn"
            )
        if self.task == "flow" and self.flow not in ("fnet", "pyramid"):
            raise ConfigError(f"flow is {self.flow!r}: only a network can be trained")
        if self.generator == "bicubic":
            raise ConfigError("generator is 'bicubic': there is nothing to train")
        try:
            self.model_config()
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _check_frames(self) -> None:
        if not self.recurrent and self.frames != 1:
            raise ConfigError(f"frames is {self.frames}: {self.generator!r} sees 1 at a time")
        if not self.recurrent and self.ping_pong_weight:
            raise ConfigError(f"ping_pong_weight is {self.ping_pong_weight}: pictures don't play")
        if self.recurrent and self.frames < 2:
            raise ConfigError(f"frames is {self.frames}: a clip has at least 2")
        if self.recurrent and self.gan_weight and self.frames < 3:
            raise ConfigError(f"frames is {self.frames}: D sees three at a time")

    @property
    def recurrent(self) -> bool:
        """Whether clips are learned, or pictures."""
        return self.flow != "none"

    @property
    def linear(self) -> LinearName:
        """The protocol, or "bd" in place of a drawn one, which only says which crops show detail."""
        return "bi" if self.protocol == "bi" else "bd"

    @property
    def moves_both_ways(self) -> bool:
        """Whether a step needs the motion to the next frame as well as to the last."""
        return self.recurrent and (self.ping_pong_weight > 0 or self.gan_weight > 0)

    def model_config(self) -> ModelConfig:
        return ModelConfig(
            generator=self.generator, flow=self.flow, features=self.features, blocks=self.blocks,
            head=self.head, growth=self.growth, window=self.window, hidden=self.hidden,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int, int]:
        """(batch, frames, crop) of a step."""
        return self.batch, self.frames, self.crop

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "TrainingConfig":
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingConfig":
        """As a state keeps them; what former versions had besides, and no preset used, is left out."""
        return cls(**{name: value for name, value in values.items() if name not in WITHDRAWN})

    def override(self, values: dict[str, Any]) -> "TrainingConfig":
        """A copy with those values changed; naming one length of the schedule withdraws the other."""
        known = {field.name for field in fields(self)}
        if unknown := set(values) - known:
            raise ConfigError(f"unknown keys: {sorted(unknown)}; known ones are {sorted(known)}")
        if values.get("seconds") and "iterations" not in values:
            values = {**values, "iterations": 0}
        if values.get("iterations") and "seconds" not in values:
            values = {**values, "seconds": 0.0}
        return replace(self, **values)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """`--key value` pairs -> values of the types the fields have; dashes in keys read as underscores."""
    types = {field.name: field.type for field in fields(TrainingConfig)}
    values: dict[str, Any] = {}
    pairs = iter(arguments)
    for key in pairs:
        name = key.removeprefix("--").replace("-", "_")
        if not key.startswith("--") or name not in types:
            raise ConfigError(f"unknown key {key!r}; known ones are {sorted(types)}")
        text = next(pairs, None)
        if text is None:
            raise ConfigError(f"{key} has no value")
        kind = types[name]
        try:
            values[name] = kind(text) if kind in (int, float) else text
        except ValueError as error:
            raise ConfigError(f"{key} is {text!r}; {kind} is expected") from error
    return values
