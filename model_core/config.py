"""ModelConfig: the one frozen description from which a network is built, saved and drawn.

Not here: layers (networks.py, flow.py), files (checkpoint.py).
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal, get_args

SCALE: Final = 4  # every network enlarges four times; a scale of 2 is that output, area-averaged
FORMAT_VERSION: Final = 1

GeneratorName = Literal["frvsr", "bicubic"]
FlowName = Literal["none", "fnet", "pyramid", "dis"]
HeadName = Literal["subpixel", "transposed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What a checkpoint's weights are weights of.

    generator  "frvsr": the recurrent G of FRVSR and TecoGAN; "bicubic": no network at all
    flow       F: "fnet" (paper), "pyramid" (local cost volumes), "dis" (OpenCV, outside the network),
               "none" for single-image models, whose state stays empty
    features   channels of G's body
    blocks     residual blocks of G (published: 10 or 16)
    head       "transposed": two transposed convolutions (paper); "subpixel": one pixel shuffle, lighter

    Raises ValueError, naming the value, for anything else.
    """

    generator: GeneratorName
    flow: FlowName
    features: int = 64
    blocks: int = 10
    head: HeadName = "subpixel"
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        for name, allowed in (("generator", GeneratorName), ("flow", FlowName), ("head", HeadName)):
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} is {getattr(self, name)!r}; one of {get_args(allowed)} is expected")
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"format_version is {self.format_version!r}; this code reads {FORMAT_VERSION}")
        if not (isinstance(self.features, int) and 1 <= self.features <= 512):
            raise ValueError(f"features is {self.features!r}; 1 to 512 is expected")
        if not (isinstance(self.blocks, int) and 1 <= self.blocks <= 64):
            raise ValueError(f"blocks is {self.blocks!r}; 1 to 64 is expected")
        if (self.generator == "frvsr") != (self.flow != "none"):
            raise ValueError(f"generator {self.generator!r} does not go with flow {self.flow!r}")

    @property
    def recurrent(self) -> bool:
        """Whether an output depends on the frames before it."""
        return self.flow != "none"

    @property
    def receptive_radius(self) -> int:
        """How far, in low-resolution pixels, an output of G depends on its input; the halo of a tile.

        One for each 3x3 convolution at low resolution; the heads' last layers and the bicubic skip
        (radius 2) lie within two more.
        """
        return 2 if self.generator == "bicubic" else 2 * self.blocks + 1 + 2

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

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
