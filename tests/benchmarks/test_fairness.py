"""`python -m benchmarks.fairness`, run tiny: it ends, and its figures stand on the page."""

import pytest

from benchmarks import fairness
from benchmarks.shared.service import running


@pytest.mark.timeout(240)
def test_a_tiny_run_measures_pictures_alone_and_beside_a_film() -> None:
    extent = fairness.Extent(pictures=3, minutes=0.4, shots=40)
    with running() as service:
        found = fairness.measure(extent, service)
    assert [len(each) for each in (found.alone_s, found.beside_s, found.late_s)] == [3, 3, 3]
    assert found.late_s[-1] == pytest.approx(found.beside_s[-1] - found.alone_s[-1] * 4 / 3)
    assert f"went on by {found.film_frames} frames of 600" in "\n".join(fairness.page(found))
