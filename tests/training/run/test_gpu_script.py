"""gpu.sh as a caller uses it that lends a machine for minutes: OUT is set, and empty at every call."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from training.data.sources import pack_folder

ROOT = Path(__file__).parents[3]
SMALL = ["--features", "8", "--blocks", "1", "--hidden", "4", "--batch", "1", "--frames", "3", "--crop", "16"]


def call(out: Path, run: Path, pack: Path, *, steps: int) -> int:
    """Train with an empty OUT, up to so many steps in all; the step that what came back in OUT stands at."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    environment = os.environ | {
        "OUT": str(out), "RUN_FOLDER": str(run), "PACK": str(pack), "PYTHON": sys.executable
    }  # fmt: skip
    command = ["bash", "training/gpu.sh", "300", "trunk", *SMALL, "--iterations", str(steps)]
    subprocess.run([*command, "--precision", "fp32"], cwd=ROOT, env=environment, check=True)
    step: int = json.loads((out / "state" / "state.json").read_text())["step"]
    return step


def test_a_second_call_goes_on_though_out_was_emptied(material: Path, tmp_path: Path) -> None:
    out, run, pack = tmp_path / "out", tmp_path / "run", tmp_path / "pack.npz"
    pack_folder(material, pack, {}, bytes_max=2_000_000)
    assert call(out, run, pack, steps=2) == 2
    elsewhere = tmp_path / "elsewhere"  # another machine, where only what came back is laid over the run
    shutil.copytree(out, elsewhere)
    assert call(out, elsewhere, pack, steps=3) == 3
    log = (out / "log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in log.splitlines()][-1] == 3
    back = [file for file in out.rglob("*") if file.is_file()]
    assert len(back) <= 8
