"""Auto: which model an input gets when its sender leaves that to us, by what its first decode showed.

Pure, and the one place that knows the rule: workers choose by it, and `GET /models` tells it. Not here: how
an input is measured (worker/media/traits.py). Start at `decide`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

AUTO: Final = "auto"
WHOLE: Final = 100  # percent
FAITHFUL, PERCEPTUAL, REAL = "frvsr-lite", "teco-lite", "real-lite"
CANDIDATES: Final = (FAITHFUL, PERCEPTUAL, REAL)

# Chosen by some of the held-out clips, spoilt in known ways: docs/models.md has what that came to on all.
NOISE_MIN: Final = 2.0  # levels; noise of 5 levels in each of R, G and B measures as 3 in luma, none as .2
NOISE_LEFT_MIN: Final = 0.5  # in compressed video: coders take most of it away, and leave at most .3 of none
COMPRESSED_BITS_MAX: Final = 2.0  # a pixel: x264 at CRF 18 takes at most 1, and what loses nothing 8 and more
SHARPNESS_MIN: Final = 0.55  # what was made small by a blur has .31 to .54, without one mostly .56 and more
BLOCKINESS_MIN: Final = 0.1  # of a picture: JPEG of quality 50 has .08 to .53, none mostly 0 and at most .11
HEAVY_MIN: Final = 0.25  # blockiness: JPEG of quality 30 has mostly more, of 50 seldom
QUANTISER_MIN: Final = 32.0  # of H.264: x264 at CRF 28 takes 33 to 36 in the mean, at CRF 23 up to 31

# How much of real-lite is shown, in percent: with it PSNR hardly ever lies over .3 dB below bicubic.
OF_JAGGED, OF_NOISY, OF_CODED_NOISE, OF_COARSE = 80, 100, 80, 70
OF_PICTURE, OF_HEAVY_PICTURE = 70, 60

CARD: Final[dict[str, Any]] = {
    "summary": "Takes what suits each input, by what its first decode shows; the report says which and why.",
    "chooses": [
        {
            "model": REAL,
            "for": f"noise of {NOISE_MIN:g} levels or more in luma, {NOISE_LEFT_MIN:g} in compressed video;"
            f" jagged edges, where squared steps to the next pixel are {SHARPNESS_MIN:g} or more of those to"
            f" the one after; pictures whose steps between blocks of 8x8 are larger by {BLOCKINESS_MIN:.0%}"
            f" or more; H.264 whose mean quantiser is {QUANTISER_MIN:g} or more. Shown at {OF_COARSE} to"
            f" {OF_NOISY} % in videos and {OF_HEAVY_PICTURE} to {OF_PICTURE} % in pictures, unless strength"
            " says otherwise",
        },
        {"model": PERCEPTUAL, "for": "all other input, moderately compressed video too"},
    ],
}

_Measure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """What was measured of an input's luma."""

    noise: _Measure  # deviation, in levels of 255
    blockiness: _Measure  # how much larger steps are where blocks of 8x8 meet than within them
    sharpness: _Measure  # squared steps to the next pixel by those to the one after


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What was measured of an input."""

    pixels: Pixels
    quantiser: _Measure | None = None  # mean, on H.264's scale of 0 to 51; None where a stream does not tell
    bits_per_pixel: _Measure | None = None  # of the stream; None of pictures and animations

    @property
    def is_compressed(self) -> bool:
        """Of a video that lost something when it was coded."""
        return self.bits_per_pixel is not None and self.bits_per_pixel < COMPRESSED_BITS_MAX

    @property
    def is_of_pictures(self) -> bool:
        """Of one, or of an animation's: each is coded by itself."""
        return self.bits_per_pixel is None


@dataclass(frozen=True, slots=True)
class Choice:
    model: str
    strength: int = WHOLE  # how much of what the model made is to be shown, in percent
    reason: str | None = None  # of auto, in words, with what was measured

    @property
    def share(self) -> float:
        return share_of(self.strength)


def share_of(strength: int | None) -> float:
    """Percent as a part of one; all of it where nobody said."""
    return 1.0 if strength is None else strength / WHOLE


def as_named(name: str, strength: int | None) -> Choice:
    """A model's own name, and the strength that the sender asked for, if any."""
    return Choice(name, WHOLE if strength is None else strength)


def decide(name: str, traits: Traits | None, strength: int | None = None) -> Choice:
    """What works under this name for an input.

    traits     None where too little was seen
    strength   what the sender asked for, if anything: that stands, whatever auto finds
    """
    if name != AUTO:
        return as_named(name, strength)
    model, found, why = choose(traits)
    at = found if strength is None else strength
    took = model if at == WHOLE else f"{model} at {at} %"
    measured = "" if traits is None else f" ({', '.join(_measured(traits))})"
    return Choice(model, at, f"auto took {took}: {why}{measured}")


def choose(traits: Traits | None) -> tuple[str, int, str]:
    """Model, strength, and why in words."""
    if traits is None:
        return PERCEPTUAL, WHOLE, "there was too little to measure"
    return _spoilt(traits) or (PERCEPTUAL, WHOLE, "the input is neither noisy nor jagged")


def _spoilt(traits: Traits) -> tuple[str, int, str] | None:
    """The same for what has to be cleaned up first; None of anything else."""
    pixels, of_picture = traits.pixels, OF_PICTURE if traits.is_of_pictures else None
    is_jagged = pixels.sharpness >= SHARPNESS_MIN
    if traits.is_compressed and pixels.noise >= NOISE_LEFT_MIN:
        return REAL, OF_CODED_NOISE, "the input was noisy when it was compressed"
    if pixels.noise >= NOISE_MIN:
        return REAL, of_picture or (OF_JAGGED if is_jagged else OF_NOISY), "the input is noisy"
    if is_jagged:
        return REAL, of_picture or OF_JAGGED, "the input has jagged edges"
    if traits.quantiser is not None and traits.quantiser >= QUANTISER_MIN:
        return REAL, OF_COARSE, "the input was compressed hard"
    if of_picture and pixels.blockiness >= BLOCKINESS_MIN:
        shown = OF_HEAVY_PICTURE if pixels.blockiness >= HEAVY_MIN else OF_PICTURE
        return REAL, shown, "the picture shows the blocks of its compression"
    return None


def _measured(traits: Traits) -> Iterator[str]:
    yield f"noise {traits.pixels.noise:.1f} levels"
    yield f"blockiness {traits.pixels.blockiness:.2f}"
    yield f"sharpness {traits.pixels.sharpness:.2f}"
    if traits.quantiser is not None:
        yield f"H.264 quantiser {traits.quantiser:.0f}"
    if traits.bits_per_pixel is not None:
        yield f"{traits.bits_per_pixel:.3f} bits a pixel"


def models_behind(names: Iterable[str]) -> frozenset[str]:
    """The models that work under these names may need."""
    return frozenset(model for name in names for model in (CANDIDATES if name == AUTO else (name,)))
