"""A child is started again when it dies, stopped whole, and never outlives its parent. Real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import supervise
from service.supervise import Child

SLEEPS = "import time; time.sleep(60)"
DIES = "raise SystemExit(3)"


def child(code: str, *, stop_s_max: float = 5.0) -> Child:
    return Child("test", [sys.executable, "-c", code], os.environ, stop_s_max=stop_s_max)


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Runs, and is no zombie that only waits for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def sleeping() -> Iterator[Child]:
    made = child(SLEEPS)
    made.start()
    yield made
    made.stop(hurry=lambda: True)


def test_a_child_lives_in_a_session_of_its_own(sleeping: Child) -> None:
    """So that Ctrl-C, which the terminal sends to our whole group, does not reach it."""
    assert sleeping.pid is not None
    assert os.getsid(sleeping.pid) == sleeping.pid != os.getsid(0)


def test_a_child_that_lives_is_left_alone(sleeping: Child) -> None:
    pid = sleeping.pid
    assert sleeping.tend() is None
    assert sleeping.pid == pid
    assert sleeping.deaths == 0


def test_a_child_that_dies_is_started_again_after_a_growing_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "RESTART_S_FIRST", 0.2)
    made = child(DIES)
    made.start()
    ends = []
    while len(ends) < 3:
        if made.tend() == 3:
            ends.append(time.monotonic())
        time.sleep(0.005)
    made.stop()
    assert made.deaths == 3
    assert ends[1] - ends[0] > 0.2
    assert ends[2] - ends[1] > 0.4


def test_stopping_asks_first() -> None:
    made = child("import time\ntry:\n time.sleep(60)\nexcept BaseException: pass", stop_s_max=30)
    made.start()
    began_at = time.monotonic()
    made.stop()
    assert time.monotonic() - began_at < 20
    assert made.pid is None


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    made = child(
        f"import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(ready)!r}).touch()\ntime.sleep(60)",
        stop_s_max=0.3,
    )
    made.start()
    eventually(ready.exists)
    pid = made.pid
    assert pid is not None
    made.stop()
    assert not lives(pid)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_a_child_started_ends_with_it(tmp_path: Path, how: str) -> None:
    note = tmp_path / "pid"
    made = child(
        f"import pathlib, subprocess, sys, time\n"
        f"grandchild = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(grandchild.pid) + '.')\ntime.sleep(60)"
    )
    made.start()
    eventually(lambda: note.exists() and note.read_text().endswith("."))
    grandchild = int(note.read_text()[:-1])
    assert lives(grandchild)
    if how == "killed":
        assert made.pid is not None
        os.kill(made.pid, signal.SIGKILL)
        eventually(lambda: made.tend() == -signal.SIGKILL)
    made.stop()
    eventually(lambda: not lives(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, pathlib, sys, time\n"
            "from service.supervise import Child\n"
            f"made = Child('test', [sys.executable, '-c', {SLEEPS!r}], os.environ, stop_s_max=5)\n"
            f"made.start()\npathlib.Path({str(note)!r}).write_text(f'{{made.pid}}.')\ntime.sleep(60)",
        ]
    )
    eventually(lambda: note.exists() and note.read_text().endswith("."), 30)
    pid = int(note.read_text()[:-1])
    eventually(lambda: SLEEPS.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2:3])
    parent.kill()
    parent.wait()
    eventually(lambda: not lives(pid))
