"""TrainingConfig: everything that decides what a run computes, in one frozen record of five.

Not here: where data, state and logs lie, and when this run must stop (train.py takes those from the command
line), since the same training may go on elsewhere tomorrow; the trainings that have a name (presets.py).

On the command line, in states and on cards a config is flat: each value under one key, which is its field's
name (`learning_rate`), that of D's with `critic_` before it. Read next: train.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from model_core.config import ModelConfig

LinearName = Literal["bd", "bi"]  # a fixed matrix each, so an output can be made small by it too
ProtocolName = Literal["bd", "bi", "bsrgan", "upload"]
EvaluationName = Literal["bd", "bi", "bd-x264", "decimated", "bd-noise10"]
PixelLossName = Literal["charbonnier", "log_square"]
TaskName = Literal["upscale", "flow"]
VggDistanceName = Literal["cosine", "lpips"]
LooksAtName = Literal["second", "all"]
OptimiserName = Literal["adam", "muon"]
RateCourseName = Literal["constant", "cosine", "linear"]
CriticKindName = Literal["vanilla", "relativistic"]
CriticSightName = Literal["all", "textured"]
PrecisionName = Literal["auto", "fp32", "bf16"]


class ConfigError(ValueError):
    """A key that does not exist, or a value that it cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What a step sees.

    protocol     how low frames are made: "bd", "bi", or blind: "bsrgan", "upload" (protocols.py)
    batch        clips per step, over all processes
    frames       frames per clip
    run_in       frames before them, in every second step, that only fill the state: what a recurrence adds up
                 over time is seen, and how a clip begins as well
    crop         side of a crop in low-resolution pixels
    photo_share  part of the clips that are photographs under a camera path, or as they are
    """

    protocol: ProtocolName = "bd"
    batch: int = 4
    frames: int = 10
    run_in: int = 0
    crop: int = 32
    photo_share: float = 0.33

    def shape_of(self, step: int) -> tuple[int, int, int]:
        """(batch, frames, crop) of what that step plays."""
        return self.batch, self.frames + (self.run_in if step % 2 else 0), self.crop

    @property
    def linear(self) -> LinearName:
        """The protocol, or "bd" in place of a drawn one, which only says which crops show detail."""
        return "bi" if self.protocol == "bi" else "bd"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """What is minimised, and how the parts of it weigh.

    pixel_loss       distance of output and target: "charbonnier", or "log_square" once that is near its end
    pixel_weight     its weight
    luma_share       part of it that is measured on luma, as PSNR is, the rest on red, green and blue
    picked_factor    how much more it weighs for clips made small without blur, which perceptual losses alone
                     leave half a pixel off
    warp_weight      squared distance of the frame and its warped predecessor; only where F is a network
    best_buddy_weight      distance of each patch to its best buddy in the target
    back_projection_weight distance of the input and the output made small again
    ping_pong_weight distance of the outputs on the way forth and on the way back; 0 plays clips forth only
    vgg_weight       distance of VGG16's features of output and target, summed over its layers
    vgg_distance     "cosine" (TecoGAN's), or "lpips": each feature weighed by how much people see of it
    gan_weight       what D finds wrong with the output; 0 trains without D
    critic_weight    distance of D's own features of output and target, summed over its layers
    looks_at         frames that VGG and D look at: every "second" of the way forth, or "all" of both ways, D
                     by threes that share none, as TecoGAN's code does for five times the work
    """

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
    looks_at: LooksAtName = "second"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticConfig:
    """D, where LossConfig.gan_weight asks for one.

    kind      "vanilla", or "relativistic": D tells which side is the more real one (ESRGAN)
    sees      "all", or only what is "textured" in the input (Beby-GAN)
    pace      D's learning rate as a multiple of G's
    start     steps at the beginning in which D learns alone: an ignorant D only misleads G
    lead_max  D rests while E[log D(target)] - E[log D(output)] is above this
    """

    kind: CriticKindName = "vanilla"
    sees: CriticSightName = "all"
    pace: float = 1.0
    start: int = 0
    lead_max: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """How fast and how long G and F learn.

    optimiser      "adam", or "muon" for kernels beside Adam for biases (optimisers.py)
    learning_rate  after a linear warm-up; Adam's, or the root mean square of Muon's updates
    rate_course    what becomes of it: "constant", a "cosine" that ends at a hundredth, "linear" to nothing
    iterations     length in steps; 0 where `seconds` measures it
    seconds        length in seconds of running, over all runs; 0 where `iterations` does. A constant rate may
                   have neither: such a training has no end
    ema_decay      of the averaged weights, which are what is evaluated and published
    clip_norm      longest gradient; longer ones are scaled down to it; 0 for no such bound
    """

    optimiser: OptimiserName = "adam"
    learning_rate: float = 4e-4
    rate_course: RateCourseName = "cosine"
    warmup_iterations: int = 200
    iterations: int = 6000
    seconds: float = 0.0
    ema_decay: float = 0.999
    clip_norm: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Defaults are a small FRVSR of one frame and no memory: 64 features, 10 blocks, OpenCV's motion.

    task       what is learned: "upscale", G (and F where it is a network), or "flow", F alone
    model      what enlarges; with flow "none" a network for pictures, whose clips have one frame
    precision  "auto" times bf16 autocast against fp32 at the start and takes the faster
    """

    task: TaskName = "upscale"
    model: ModelConfig = field(default_factory=lambda: ModelConfig(generator="frvsr", flow="dis"))
    data: DataConfig = field(default_factory=DataConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    precision: PrecisionName = "auto"
    validate_every: int = 500
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            allowed = KEYS[name].kind
            if get_origin(allowed) is Literal and value not in get_args(allowed):
                raise ConfigError(f"{name} is {value!r}; one of {get_args(allowed)} is expected")
        schedule, losses = self.schedule, self.losses
        endless = schedule.rate_course == "constant" and schedule.iterations == 0 == schedule.seconds
        if (schedule.iterations > 0) == (schedule.seconds > 0) and not endless:
            raise ConfigError(
                f"iterations is {schedule.iterations} and seconds {schedule.seconds}: "
                "exactly one gives the length"
            )
        self._check_frames()
        if losses.critic_weight and not losses.gan_weight:
            raise ConfigError(f"critic_weight is {losses.critic_weight} and gan_weight 0: there is no D then")
        if losses.back_projection_weight and self.data.protocol not in get_args(LinearName):
            raise ConfigError(
                f"back_projection_weight needs a known degradation, and {self.data.protocol!r} is drawn"
            )
        if self.task == "flow" and self.model.flow not in ("fnet", "pyramid"):
            raise ConfigError(f"flow is {self.model.flow!r}: only a network can be trained")
        if self.model.generator == "bicubic":
            raise ConfigError("generator is 'bicubic': there is nothing to train")

    def _check_frames(self) -> None:
        frames, losses, recurrent = self.data.frames, self.losses, self.model.recurrent
        if not recurrent and frames != 1:
            raise ConfigError(f"frames is {frames}: {self.model.generator!r} sees 1 at a time")
        if not recurrent and losses.ping_pong_weight:
            raise ConfigError(f"ping_pong_weight is {losses.ping_pong_weight}: pictures don't play")
        if self.data.run_in and (losses.ping_pong_weight or losses.gan_weight or not recurrent):
            raise ConfigError(f"run_in is {self.data.run_in}: only for clips that play forth, without D")
        if recurrent and frames < 2:
            raise ConfigError(f"frames is {frames}: a clip has at least 2")
        if recurrent and losses.gan_weight and frames < 3:
            raise ConfigError(f"frames is {frames}: D sees three at a time")

    @property
    def moves_both_ways(self) -> bool:
        """Whether a step needs the motion to the next frame as well as to the last."""
        return self.model.recurrent and (self.losses.ping_pong_weight > 0 or self.losses.gan_weight > 0)

    def override(self, values: dict[str, Any]) -> "TrainingConfig":
        """A copy with those keys' values; naming one length of the schedule withdraws the other."""
        if unknown := set(values) - set(KEYS):
            raise ConfigError(f"unknown keys: {sorted(unknown)}; known ones are {sorted(KEYS)}")
        if values.get("seconds") and "iterations" not in values:
            values = {**values, "iterations": 0}
        if values.get("iterations") and "seconds" not in values:
            values = {**values, "seconds": 0.0}
        changed: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            changed.setdefault(KEYS[name].record, {})[KEYS[name].field] = value
        own = changed.pop("", {})
        try:
            records = {name: replace(getattr(self, name), **part) for name, part in changed.items()}
        except ValueError as error:  # of a model that can't be
            raise ConfigError(str(error)) from error
        return replace(self, **own, **records)

    def to_dict(self) -> dict[str, Any]:
        """Every key with its value, as states and cards keep them."""
        return {
            name: getattr(getattr(self, key.record) if key.record else self, key.field)
            for name, key in KEYS.items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingConfig":
        """What former versions had and no preset used is left out; what they lacked gets its default."""
        return cls().override({name: value for name, value in values.items() if name not in WITHDRAWN})

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "TrainingConfig":
        return cls.from_dict(json.loads(text))


class Key(NamedTuple):
    """Where a key's value lies: in which record of TrainingConfig ("" is itself), under which field."""

    record: str
    field: str
    kind: Any


WITHDRAWN: Final = frozenset({"late_from", "late_batch", "late_frames", "late_crop"})
_RECORDS: Final = {
    "model": ModelConfig, "data": DataConfig, "losses": LossConfig, "critic": CriticConfig,
    "schedule": ScheduleConfig,
}  # fmt: skip
_IMPORTED_ONLY: Final = ("upsampling", "format_version")  # nothing is trained otherwise than by default


def _keys() -> dict[str, Key]:
    found = {each.name: Key("", each.name, each.type) for each in fields(TrainingConfig)}
    for record, kind in _RECORDS.items():
        del found[record]
        for each in fields(kind):
            name = f"critic_{each.name}" if record == "critic" else each.name
            assert name not in found, "two values would have one key"
            if name not in _IMPORTED_ONLY:
                found[name] = Key(record, each.name, each.type)
    return found


KEYS: Final = _keys()


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """`--key value` pairs -> values of the types the fields have; dashes in keys read as underscores."""
    values: dict[str, Any] = {}
    pairs = iter(arguments)
    for name in pairs:
        key = name.removeprefix("--").replace("-", "_")
        if not name.startswith("--") or key not in KEYS:
            raise ConfigError(f"unknown key {name!r}; known ones are {sorted(KEYS)}")
        text = next(pairs, None)
        if text is None:
            raise ConfigError(f"{name} has no value")
        kind = KEYS[key].kind
        try:
            values[key] = kind(text) if kind in (int, float) else text
        except ValueError as error:
            raise ConfigError(f"{name} is {text!r}; {kind} is expected") from error
    return values
