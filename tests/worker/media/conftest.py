"""What the media tests share: generous limits, and a quiet AV1 encoder."""

import os

import pytest

from worker.media.types import Limits

os.environ.setdefault("SVT_LOG", "0")  # the encoder prints its settings to standard error otherwise


@pytest.fixture
def limits() -> Limits:
    return Limits(pixels_max=4096 * 2304, duration_s_max=3600)
