"""ModelConfig: the one frozen description from which a network is built, saved and drawn.

Not here: layers (generator.py, single_image.py, flow.py), files (checkpoint.py).
"""

import json
from dataclasses import dataclass, fields
from typing import Final, Literal, get_args

SCALE: Final = 4  # every network enlarges four times; a scale of 2 is that output, area-averaged
FORMAT_VERSION: Final = 1

GeneratorName = Literal["frvsr", "bicubic", "srcnn", "srresnet", "rrdb", "compact"]
FlowName = Literal["none", "fnet", "pyramid", "dis", "dis-fast"]
HeadName = Literal["subpixel", "transposed"]
UpsamplingName = Literal["bicubic", "bilinear", "corner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What a checkpoint's weights are weights of.

    generator   "frvsr": the recurrent G of FRVSR and TecoGAN; "bicubic": no network at all; "srcnn",
                "srresnet", "rrdb" (ESRGAN), "compact" (Real-ESRGAN's small one): a picture at a time
    flow        F: "fnet" (paper), "pyramid" (local cost volumes), "dis" or "dis-fast" (OpenCV, outside the
                network), "none" for single-image models, whose state stays empty
    window      frames that frvsr sees: 1, or 3, the one before and the one after as well
    hidden      channels that frvsr hands to its next step beside the output, moved along by the flow
    features    channels of G's body; of srcnn's first layer
    blocks      residual blocks of G (published: 10 or 16; rrdb 23 or 6); convolutions of a compact body;
                srcnn has none
    head        of frvsr: "transposed", two transposed convolutions (paper); "subpixel", one pixel shuffle
    upsampling  how frvsr enlarges frame and flow: "bicubic" (the flow bilinear), "bilinear", or "corner",
                both bicubic and sampled at the corner of each 4x4 block; the last two are imported networks'
    growth      channels that each convolution of an rrdb's dense block adds

    Raises ValueError, naming the value, for anything else.
    """

    generator: GeneratorName
    flow: FlowName
    features: int = 64
    blocks: int = 10
    window: int = 1
    hidden: int = 0
    head: HeadName = "subpixel"
    upsampling: UpsamplingName = "bicubic"
    growth: int = 32
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        for name, allowed in _NAMES.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} is {getattr(self, name)!r}; one of {get_args(allowed)} is expected")
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"format_version is {self.format_version!r}; this code reads {FORMAT_VERSION}")
        for name, (least, largest) in _RANGES.items():
            value = getattr(self, name)
            if not (isinstance(value, int) and least <= value <= largest):
                raise ValueError(f"{name} is {value!r}; {least} to {largest} is expected")
        if self.window not in (1, 3):
            raise ValueError(f"window is {self.window!r}; 1 or 3 is expected")
        if (self.generator == "frvsr") != (self.flow != "none"):
            raise ValueError(f"generator {self.generator!r} does not go with flow {self.flow!r}")
        if self.generator != "frvsr":
            for name in ("upsampling", "window", "hidden"):
                if getattr(self, name) != _YOUNGER[name]:
                    raise ValueError(
                        f"generator {self.generator!r} does not go with {name} {getattr(self, name)!r}"
                    )
        if self.hidden and self.head != "subpixel":
            raise ValueError(f"hidden is {self.hidden}: a {self.head!r} head has no such channels")

    @property
    def recurrent(self) -> bool:
        """Whether an output depends on the frames before it."""
        return self.flow != "none"

    @property
    def flow_comes_along(self) -> bool:
        """Whether frames come with their flow, found by OpenCV (dis.py), and F is no network."""
        return self.flow in ("dis", "dis-fast")

    @property
    def looks_ahead(self) -> bool:
        """Whether an output needs the frame after its own."""
        return self.window > 1

    @property
    def receptive_radius(self) -> int:
        """How far, in low-resolution pixels, an output of G depends on its input; the halo of a tile.

        One for each 3x3 convolution at low resolution; the layers after enlarging and the skip (bicubic has
        radius 2) lie within one or two more.
        """
        match self.generator:
            case "bicubic":
                return 2
            case "srcnn":  # eight pixels of the enlarged picture, each of which bicubic takes from two more
                return 2 + 2
            case "frvsr" | "srresnet":
                return 1 + 2 * self.blocks + 2
            case "rrdb":  # a block has three dense blocks of five convolutions
                return 1 + 15 * self.blocks + 1 + 2
            case "compact":
                return 1 + self.blocks + 1

    def to_json(self) -> str:
        """Fields younger than the format stand there only if they say something: old weights keep their
        version, and older workers read whatever they can run."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        said = {name: value for name, value in said.items() if _YOUNGER.get(name) != value}
        return json.dumps(said, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Raises ValueError for what is not JSON, an unknown key or a value out of range."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"a model config is a JSON object, not {type(values).__name__}")
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"unknown keys in a model config: {sorted(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"incomplete model config: {error}") from error


_NAMES: Final = {
    "generator": GeneratorName, "flow": FlowName, "head": HeadName, "upsampling": UpsamplingName,
}  # fmt: skip
_RANGES: Final = {
    "features": (1, 512), "blocks": (1, 64), "growth": (1, 512), "window": (1, 3), "hidden": (0, 512),
}  # fmt: skip
_YOUNGER: Final = {"upsampling": "bicubic", "growth": 32, "window": 1, "hidden": 0}  # with their defaults
