"""What results may be: every format has a name that it is known by again."""

from typing import get_args

import pytest

from service.formats import CODECS, FORMATS, HOLDS, Format, format_of, media_type_of, suffix_of


@pytest.mark.parametrize("chosen", get_args(Format))
def test_a_file_we_name_is_known_by_its_name(chosen: Format) -> None:
    suffix = suffix_of(chosen)
    assert format_of(suffix) == format_of(suffix.upper()) == chosen
    assert media_type_of(suffix).partition("/")[0] == ("video" if chosen in FORMATS["video"] else "image")


@pytest.mark.parametrize("suffix", ["", ".", ".heic", "mp4"])
def test_another_suffix_names_no_format(suffix: str) -> None:
    assert format_of(suffix) is None
    assert media_type_of(suffix) == "application/octet-stream"


def test_every_codec_goes_into_a_container_and_the_way_round() -> None:
    assert HOLDS.keys() == set(FORMATS["video"])
    assert frozenset().union(*HOLDS.values()) == set(CODECS)
