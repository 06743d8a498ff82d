"""What a reader may do: nothing that the worker would notice but by a typed error."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import BrokenMedia, TransientError
from worker.media.sandbox import parent
from worker.media.sandbox.keeper import Keeper
from worker.media.sandbox.parent import reading
from worker.media.sandbox.ring import Ring

MISBEHAVING = "tests.worker.media.sandbox.misbehaving"
PIXELS = 100_000

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


@pytest.fixture(scope="module")
def keeper():
    keeper = Keeper(MISBEHAVING)
    yield keeper
    keeper.stop()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"anything")
    return path


def result(keeper, file, task, *, ring=None, on_wait=parent.nothing, **given):
    with reading(task, file, given, pixels=PIXELS, ring=ring, keeper=keeper) as reader:
        return reader.result(on_wait=on_wait)


@pytest.mark.parametrize("task", ["crash", "abort", "leave", "fail", "grow", "spin", "no_message"])
def test_reader_that_breaks_is_broken_media(keeper, file, task):
    with pytest.raises(BrokenMedia):
        result(keeper, file, task)


def test_reader_that_hangs_is_ended(keeper, file, monkeypatch):
    monkeypatch.setattr(parent, "SILENT_S", 1.0)
    started = time.monotonic()
    with pytest.raises(BrokenMedia, match="silent"):
        result(keeper, file, "sleep")
    assert time.monotonic() - started < 10
    eventually(lambda: not children_of(zygote_of(keeper)))


@linux
@pytest.mark.parametrize("task", ["start_program", "fork"])
def test_reader_starts_no_other_process(keeper, file, task):
    with pytest.raises(PermissionError):
        result(keeper, file, task)


@linux
def test_reader_reaches_no_network(keeper, file):
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PermissionError):
        result(keeper, file, "connect", port=server.getsockname()[1])


@linux
@pytest.mark.parametrize("task", ["kill_worker", "limit_worker"])
def test_reader_touches_no_other_process(keeper, file, task):
    with pytest.raises(PermissionError):
        result(keeper, file, task, pid=os.getpid())


def test_reader_opens_few_files(keeper, file):
    with pytest.raises(OSError, match="open files"):
        result(keeper, file, "open_many")


def test_reader_writes_no_file(keeper, file, tmp_path):
    with pytest.raises(OSError, match="large"):
        result(keeper, file, "write", target=str(tmp_path / "target"))


@linux
def test_reader_cannot_cut_the_memory_that_is_shared(keeper, file):
    with closing(Ring.make(1000)) as ring:
        with pytest.raises(PermissionError):
            result(keeper, file, "cut_ring", ring=ring)
        assert ring.take(0, (1000,)).sum() == 0


def test_reader_gets_none_of_the_worker_s_secrets(keeper, file, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    own = Keeper(MISBEHAVING)
    try:
        assert "AWS_SECRET_ACCESS_KEY" not in result(own, file, "environment")
    finally:
        own.stop()


@linux
def test_reader_has_one_thread_and_nothing_open_but_its_wire(keeper, file):
    with reading("sleep", file, {}, pixels=PIXELS, keeper=keeper):  # whose wire must not be there
        found = result(keeper, file, "threads")
    assert found["threads"] == 1
    assert len(found["open"]) == 5  # the three standard ones, the wire, and the folder being listed


def test_caller_that_no_longer_waits_ends_the_reader(keeper, file, monkeypatch):
    monkeypatch.setattr(parent, "LOOK_S", 0.01)

    class Enough(Exception):
        pass

    def stop():
        raise Enough

    with pytest.raises(Enough):
        result(keeper, file, "sleep", on_wait=stop)
    eventually(lambda: not children_of(zygote_of(keeper)))


def test_zygote_that_was_killed_costs_what_it_read_and_nothing_more(file):
    keeper = Keeper(MISBEHAVING)
    try:
        with reading("sleep", file, {}, pixels=PIXELS, keeper=keeper) as reader:
            eventually(lambda: children_of(zygote_of(keeper)))
            killed = zygote_of(keeper)
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(TransientError):
                reader.result()
        assert "PATH" in result(keeper, file, "environment")
        assert zygote_of(keeper) != killed
    finally:
        keeper.stop()


def test_reader_that_somebody_killed_is_not_the_file_s_fault(keeper, file):
    with reading("sleep", file, {}, pixels=PIXELS, keeper=keeper) as reader:
        eventually(lambda: children_of(zygote_of(keeper)))
        [pid] = children_of(zygote_of(keeper))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TransientError):
            reader.result()


@linux
def test_nothing_outlives_a_worker_that_was_killed(file):
    code = f"""
import sys, time
from pathlib import Path
from worker.media.sandbox.keeper import Keeper
from worker.media.sandbox.parent import reading
keeper = Keeper({MISBEHAVING!r})
with reading("sleep", Path({str(file)!r}), {{}}, pixels=1000, keeper=keeper):
    print(keeper._process.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        zygote = int(worker.stdout.readline())
        eventually(lambda: children_of(zygote))
        [reader] = children_of(zygote)
        worker.kill()
    eventually(lambda: not is_alive(zygote) and not is_alive(reader))


def test_many_threads_read_at_once(keeper, file):
    found = []

    def read():
        found.extend("PATH" in result(keeper, file, "environment") for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40


def zygote_of(keeper):
    assert keeper._process is not None
    return keeper._process.pid


def children_of(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(holds, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
