"""`make bench`, run tiny: every measurement runs whole, and its figures stand on the page."""

import re
from pathlib import Path

import pytest

from benchmarks import __main__ as whole
from benchmarks import memory, pictures, pipeline, steps

TINY = whole.Extent(
    steps.Extent(sizes=((24, 16),), pixels=1, rounds_min=1, seconds=0),
    pipeline.Extent(size=(32, 32), seconds=0.1, model="bicubic", rounds=1),
    pictures.Extent(small=4, large=2, rounds=1),
    memory.Extent(lengths=(2, 4), long_size=(32, 32), sizes=((48, 32),), few=1),
)


@pytest.mark.timeout(300)  # three services and two commands, each of which loads PyTorch and the models
def test_a_tiny_run_measures_everything_and_writes_the_page_and_its_drawing(tmp_path: Path):
    whole.write(TINY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [whole.PAGE, whole.DRAWING]
    page = (tmp_path / whole.PAGE).read_text()
    rows = re.findall(r"^\| (?!---)(.+) \|$", page, re.MULTILINE)
    by_name = [row.split(" | ") for row in rows]
    networks = {(cells[0], cells[1]) for cells in by_name}
    assert networks >= {
        ("TecoGAN-PyTorch's network", "as published"),
        ("frvsr-lite, teco-lite", "ours, OpenVINO"),
        ("realesr-animevideov3", "as published"),
        ("realesr-animevideov3", "ours, OpenVINO"),
        ("realesr-general-x4v3", "ours, PyTorch"),
        ("upscaled upscale", "torch-cpu float32"),
        ("upscaled serve", "torch-cpu float32"),
        ("4", "90x70"),
        ("2", "200x200"),
        ("4", "32x32"),
        ("1", "48x32"),
    }
    assert (tmp_path / whole.DRAWING).read_text().startswith("<?xml")


def test_a_run_that_fails_leaves_the_page_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> steps.Steps:
        raise RuntimeError("no such luck")

    (tmp_path / whole.PAGE).write_text("what was measured before")
    monkeypatch.setattr(steps, "measure", fail)
    with pytest.raises(RuntimeError, match="luck"):
        whole.write(TINY, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["what was measured before"]
