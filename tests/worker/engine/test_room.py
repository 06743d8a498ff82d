"""What streams take of a process's memory together: never more than there is, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.engine import room as room_module
from worker.engine.room import BYTES_A_PIXEL, NoRoom, Room, machine_bytes

FRAME = 1000  # pixels


def nothing() -> None:
    pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "WAKE_S", 0.01)


def test_streams_never_hold_more_than_there_is_and_all_get_their_turn() -> None:
    room = Room(3 * FRAME * BYTES_A_PIXEL)
    together, most, lock = 0, 0, threading.Lock()
    three_are_in = threading.Barrier(3)

    def run(_: int) -> None:
        nonlocal together, most
        with room.taken(FRAME, wait_s=30, on_wait=nothing):
            with lock:
                together += 1
                most = max(most, together)
            three_are_in.wait(10)  # so three do run side by side
            with lock:
                together -= 1

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(run, range(9)))
    assert most == 3
    assert room.taken_bytes == 0


def test_a_frame_larger_than_all_memory_runs_beside_small_ones_only() -> None:
    room = Room(100 * FRAME * BYTES_A_PIXEL)
    with room.taken(10 * FRAME, wait_s=0, on_wait=nothing), room.taken(10**9, wait_s=0, on_wait=nothing):
        with (
            pytest.raises(NoRoom, match="bytes are taken"),
            room.taken(30 * FRAME, wait_s=0, on_wait=nothing),
        ):
            pass
        with room.taken(15 * FRAME, wait_s=0, on_wait=nothing):
            pass
    assert room.taken_bytes == 0


def test_whoever_waits_is_asked_and_may_leave() -> None:
    room = Room(FRAME * BYTES_A_PIXEL)

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with (
        room.taken(FRAME, wait_s=0, on_wait=nothing),
        pytest.raises(Stopped),
        room.taken(FRAME, wait_s=30, on_wait=stop),
    ):
        pass
    assert room.taken_bytes == 0


def test_a_container_counts_for_less_than_its_machine(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine_bytes()
    monkeypatch.setattr(room_module, "_CGROUP_LIMIT", tmp_path / "memory.max")
    (tmp_path / "memory.max").write_text("1048576\n")
    assert machine_bytes() == 1 << 20
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_bytes() >= whole
