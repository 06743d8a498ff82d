"""The rule of `model=auto`: pure, and told by every reason and by the card."""

from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from service.auto import (
    AUTO,
    BLOCKINESS_MIN,
    CANDIDATES,
    CARD,
    COMPRESSED_BITS_MAX,
    HEAVY_MIN,
    NOISE_LEFT_MIN,
    NOISE_MIN,
    PERCEPTUAL,
    QUANTISER_MIN,
    REAL,
    SHARPNESS_MIN,
    WHOLE,
    Choice,
    Pixels,
    Traits,
    decide,
    models_behind,
)

CLEAN = Pixels(noise=0.3, blockiness=0.02, sharpness=0.4)
VIDEO = Traits(pixels=CLEAN, quantiser=24.4, bits_per_pixel=0.1234)
PICTURE = Traits(pixels=CLEAN)


@pytest.mark.parametrize("traits", [VIDEO, PICTURE])
def test_clean_input_is_given_to_the_perceptual_model(traits: Traits) -> None:
    assert decide(AUTO, traits).model == PERCEPTUAL


@pytest.mark.parametrize("traits", [VIDEO, PICTURE])
@pytest.mark.parametrize("spoilt", [{"noise": NOISE_MIN}, {"sharpness": SHARPNESS_MIN}])
def test_noise_and_jagged_edges_are_given_to_the_model_that_cleans_up(
    traits: Traits, spoilt: dict[str, float]
) -> None:
    assert decide(AUTO, replace(traits, pixels=replace(CLEAN, **spoilt))).model == REAL


def test_of_the_noise_that_coding_left_less_is_enough() -> None:
    left = replace(CLEAN, noise=NOISE_LEFT_MIN)
    assert decide(AUTO, replace(VIDEO, pixels=left)).model == REAL
    assert decide(AUTO, replace(PICTURE, pixels=left)).model == PERCEPTUAL
    whole = replace(VIDEO, pixels=left, bits_per_pixel=COMPRESSED_BITS_MAX)  # nothing was taken from it
    assert decide(AUTO, whole).model == PERCEPTUAL


def test_coarse_steps_of_a_coder_are_given_to_the_model_that_cleans_up() -> None:
    assert decide(AUTO, replace(VIDEO, quantiser=QUANTISER_MIN)).model == REAL
    assert decide(AUTO, replace(VIDEO, quantiser=QUANTISER_MIN - 0.1)).model == PERCEPTUAL


def test_blocks_count_in_pictures_alone() -> None:
    """Coders of video smooth them, and what a stream holds may have been blocky before."""
    blocky = replace(CLEAN, blockiness=BLOCKINESS_MIN)
    assert decide(AUTO, replace(PICTURE, pixels=blocky)).model == REAL
    assert decide(AUTO, replace(VIDEO, pixels=blocky)).model == PERCEPTUAL


def test_the_more_a_picture_lost_the_less_of_what_is_made_up_is_shown() -> None:
    some, much = (
        decide(AUTO, replace(PICTURE, pixels=replace(CLEAN, blockiness=blockiness)))
        for blockiness in (BLOCKINESS_MIN, HEAVY_MIN)
    )
    assert much.strength < some.strength < decide(AUTO, PICTURE).strength == WHOLE
    assert some.reason is not None
    assert f"{REAL} at {some.strength} %: " in some.reason


@pytest.mark.parametrize("name", [AUTO, REAL])
def test_the_strength_that_was_asked_for_stands(name: str) -> None:
    noisy = replace(VIDEO, pixels=replace(CLEAN, noise=NOISE_MIN))
    assert [decide(name, noisy, strength).strength for strength in (0, 40, WHOLE)] == [0, 40, WHOLE]
    assert decide(name, noisy, 40).share == 0.4


def test_the_reason_has_what_was_measured() -> None:
    reason = decide(AUTO, VIDEO).reason
    assert reason is not None
    assert reason.startswith(f"auto took {PERCEPTUAL}: ")
    for words in ("noise 0.3 levels", "sharpness 0.40", "blockiness 0.02", "quantiser 24", "0.123 bits"):
        assert words in reason
    picture = decide(AUTO, PICTURE).reason
    assert picture is not None
    assert "quantiser" not in picture


def test_what_cannot_be_measured_gets_a_model_too() -> None:
    choice = decide(AUTO, None)
    assert choice.model in CANDIDATES
    assert choice.reason is not None


def test_a_name_stands_for_itself() -> None:
    assert decide("bicubic", VIDEO) == Choice(model="bicubic")
    assert models_behind(["bicubic"]) == {"bicubic"}
    assert models_behind(["bicubic", AUTO]) == {"bicubic", *CANDIDATES}


def test_the_card_tells_every_model_that_is_ever_taken() -> None:
    assert {each["model"] for each in CARD["chooses"]} == {REAL, PERCEPTUAL}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_nonsense_from_a_reader_is_no_measure(value: float) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Pixels).validate_python({"noise": value, "blockiness": 0, "sharpness": 0})
