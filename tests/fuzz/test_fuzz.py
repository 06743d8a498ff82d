"""Two hundred mutants of the files that are accepted, each read as a job would: frames, or a typed error.

`python -m tests.fuzz --mutants 2000` is the long form.
"""

import pytest

from tests.fuzz.__main__ import page, run
from tests.fuzz.mutants import mutant
from tests.fuzz.outcomes import outcome
from tests.fuzz.samples import CLIPS, PICTURES, make_samples

SEED = 20
MUTANTS = 200
SHARES = 10  # tests, so that they run side by side and one that fails says where


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return make_samples(tmp_path_factory.mktemp("samples"))


@pytest.mark.parametrize("share", range(SHARES))
def test_mangled_file_ends_in_frames_or_in_a_typed_error(samples, tmp_path, share):
    found, bad = run(samples, range(share, MUTANTS, SHARES), SEED, tmp_path, tmp_path / "kept")
    assert bad == 0
    assert sum(map(len, found.values())) == MUTANTS // SHARES
    assert page(found)[0].startswith("| file | mutants |")


@pytest.mark.parametrize("number", range(len(CLIPS) + len(PICTURES)))
def test_sample_is_a_file_that_is_read(samples, number):
    assert outcome(samples[number]).how == "frames"


def test_mutant_is_the_same_for_the_same_seed():
    samples = [bytes(range(256)), b"another"]
    assert mutant(samples, 0, 1) == mutant(samples, 0, 1)
    assert len({mutant(samples, which, seed) for which in range(0, 20, 2) for seed in range(3)}) > 20
