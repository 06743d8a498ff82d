"""The measurement for a GPU, run small on a processor: every case gives a figure, in time."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.cases import Case, Record, measure


def test_every_case_gives_figures_and_a_row_of_its_table(tmp_path: Path, capsys, monkeypatch) -> None:
    def at_least(cases: Sequence[Case], _: float) -> tuple[list[Record], list[str]]:
        """Every case is late already, and so does the least it can."""
        return [record for case in cases for record in case.run(0.0)], []

    monkeypatch.setattr(gpu, "measure", at_least)
    found = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--quick", "--json", str(found)])
    report = json.loads(found.read_text())
    engine, step, loader = (
        [record for record in report["records"] if record["kind"] == kind]
        for kind in ("engine", "step", "loader")
    )
    runs = {(record["model"], record["precision"], record["streams"]) for record in engine}
    assert runs >= {("frvsr-lite", "bfloat16", 1), ("frvsr-lite", "float32", 2), ("bicubic", "float32", 2)}
    assert all(record["frames_per_s"] > 0 for record in engine)
    assert all(record["ratio"] == 1 for record in engine if record["streams"] == 1)
    assert {record["preset"] for record in step} == set(gpu.QUICK.presets)
    assert all(record["fp32_ms"] > 0 and record["bf16_ms"] > 0 for record in step)
    assert all(record["rows_per_s"] > 0 for record in loader)
    table = capsys.readouterr().out
    assert all(f"| {name} |" in table for name in ("frvsr-lite", "bicubic", *gpu.QUICK.presets))


def test_seconds_are_shared_by_weight_and_what_a_late_case_took_is_left_out() -> None:
    given: dict[str, float] = {}
    began = time.monotonic()

    def until(name: str):
        def run(ends_at: float) -> list[Record]:
            given[name] = ends_at - began
            return [{"kind": name}]

        return run

    def late(_: float) -> list[Record]:
        while time.monotonic() < began + 0.3:
            time.sleep(0.01)
        return []

    cases = [
        Case("a", 1, until("a")),
        Case("b", 2, until("b")),
        Case("late", 1, late),
        Case("c", 1, until("c")),
    ]
    records, left_out = measure(cases, began + 0.2)
    assert given == {"a": pytest.approx(0.04, abs=0.02), "b": pytest.approx(0.1, abs=0.03)}
    assert [record["kind"] for record in records] == ["a", "b"]
    assert left_out == ["c"]
