"""How large a result becomes, for what was asked and however a file stores what is seen."""

from fractions import Fraction

import pytest

from service.errors import InvalidOption
from service.formats import SizeWanted
from worker.media.sizes import target_size

DVD = {"sar": Fraction(64, 45)}  # 720x576 pixels that are seen as 16:9


@pytest.mark.parametrize(
    ("stored", "wanted", "how", "size"),
    [
        ((96, 64), {}, {}, (384, 256)),
        ((97, 65), {"scale": 2}, {}, (194, 130)),
        ((97, 65), {"scale": 3}, {}, (291, 195)),
        ((97, 65), {"scale": 3}, {"is_even": True}, (292, 196)),  # the nearest even ones
        ((1, 1), {"scale": 3}, {"is_even": True}, (4, 4)),
        ((640, 480), {"size": "1080p"}, {}, (1440, 1080)),
        ((640, 268), {"size": "1080p"}, {"is_even": True}, (1920, 804)),
        ((480, 640), {"size": "1080p"}, {}, (1080, 1440)),  # standing, as a phone is held
        ((640, 480), {"size": "1080p"}, {"rotation": 90}, (1440, 1080)),
        ((720, 576), {"size": "1080p"}, DVD, (1350, 1080)),
        ((720, 576), {"width": 1920}, DVD, (1350, 1080)),
        ((960, 540), {"size": "4k"}, {}, (3840, 2160)),
        ((1920, 1080), {"size": "8k"}, {}, (7680, 4320)),
        ((1920, 1080), {"size": "1440p"}, {}, (2560, 1440)),
        ((320, 240), {"height": 720}, {}, (960, 720)),
        ((320, 240), {"width": 720}, {}, (720, 540)),
        ((320, 240), {"height": 720}, {"rotation": 270}, (720, 540)),
        ((320, 240), {"width": 1000, "height": 720}, {}, (960, 720)),
        ((320, 240), {"width": 800, "height": 720}, {}, (800, 600)),
        ((320, 240), {"height": 120}, {}, (160, 120)),  # smaller is what was asked for
    ],
)
def test_a_result_is_as_large_as_was_asked(stored, wanted, how, size):
    assert target_size(stored, SizeWanted(**wanted), **how) == size


@pytest.mark.parametrize(
    ("stored", "wanted", "field", "most"),
    [
        ((320, 180), {"size": "4k"}, "size", "1280x720"),
        ((320, 240), {"height": 962}, "height", "1280x960"),
        ((320, 240), {"width": 1281}, "width", "1280x960"),
        ((320, 240), {"width": 1290, "height": 964}, "height", "1280x960"),
    ],
)
def test_more_than_four_times_is_refused_by_name(stored, wanted, field, most):
    with pytest.raises(InvalidOption, match=most) as caught:
        target_size(stored, SizeWanted(**wanted))
    assert (caught.value.field, caught.value.value) == (field, wanted[field])
