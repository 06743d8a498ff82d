"""Material: small files of every kind the service takes, and poison that it must refuse with a reason."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from tests.integration.conftest import MODEL
from tests.integration.test_main_job import frames_of
from tests.worker.media.clips import Sound, make_clip, numbered

_SIZE: Final = (64, 48)
_LOSSLESS: Final = {"codec": "ffv1", "format": "mkv"}


@dataclass(frozen=True, kw_only=True)
class Material:
    name: str
    path: Path
    options: Mapping[str, object]
    shots: int = 1  # so many steps of one job may run at a time
    is_poison: bool = False

    @property
    def model(self) -> str:
        return str(self.options["model"])

    @property
    def is_picture(self) -> bool:
        return self.path.suffix == ".png"


def made_in(folder: Path) -> list[Material]:
    """One of each; the poison last."""
    folder.mkdir()

    def clip(name: str, *shots: int, **more: object) -> Path:
        frames = [
            frame
            for seed, count in enumerate(shots)
            for frame in numbered(count, *_SIZE, seed=seed, first=sum(shots[:seed]))
        ]
        width, height = _SIZE
        return make_clip(folder / name, frames, width=width, height=height, **more)  # type: ignore[arg-type]

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8))
    noise.resize((160, 120)).save(folder / "picture.png")
    whole = clip("whole.mp4", 30).read_bytes()
    (folder / "poison.mp4").write_bytes(whole[: len(whole) // 2])
    return [
        Material(name="chain", path=clip("chain.mp4", 24), options={"model": MODEL, **_LOSSLESS}),
        Material(
            name="two chains", shots=2, path=clip("two.mp4", 20, 20), options={"model": MODEL, **_LOSSLESS}
        ),
        Material(
            name="shots",
            shots=3,
            path=clip("shots.mp4", 12, 12, 12),
            options={"model": "bicubic", **_LOSSLESS},
        ),
        Material(
            name="sound",
            path=clip("sound.mp4", 25, sound=[Sound()]),
            options={"model": "bicubic", "scale": 2},
        ),
        Material(name="picture", path=folder / "picture.png", options={"model": MODEL}),
        Material(name="poison", path=folder / "poison.mp4", options={"model": "bicubic"}, is_poison=True),
    ]


def chosen(material: list[Material], rng: random.Random) -> Material:
    """One of the good."""
    return rng.choice([each for each in material if not each.is_poison])


def digest_of(result: Path, *, is_picture: bool) -> str:
    """Of all its frames, decoded."""
    if is_picture:
        with Image.open(result) as image:
            frames = np.asarray(image)
    else:
        frames = frames_of(result)
    return hashlib.sha256(repr(frames.shape).encode() + frames.tobytes()).hexdigest()
