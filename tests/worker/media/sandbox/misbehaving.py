"""A zygote whose readers do what a broken or hostile decoder might; run as the worker runs its own."""

import ctypes
import os
import socket
import sys
import time
from pathlib import Path

from worker.media.sandbox import child, limits, zygote


def crash(reader, path, given):
    ctypes.string_at(0)


def abort(reader, path, given):
    os.abort()


def leave(reader, path, given):
    os._exit(0)


def spin(reader, path, given):
    while True:
        pass


def sleep(reader, path, given):
    time.sleep(600)


def grow(reader, path, given):
    held = []
    while True:
        held.append(bytearray(16 * 1024**2))


def fail(reader, path, given):
    raise ZeroDivisionError("of our own code")


def connect(reader, path, given):
    socket.create_connection(("127.0.0.1", given["port"]))


def start_program(reader, path, given):
    os.execv("/bin/true", ["true"])


def fork(reader, path, given):
    os.fork()


def kill_worker(reader, path, given):
    os.kill(given["pid"], 9)


def limit_worker(reader, path, given):
    import resource

    resource.prlimit(given["pid"], resource.RLIMIT_NOFILE, (0, 0))


def open_many(reader, path, given):
    held = []
    while True:
        held.append(path.open())


def write(reader, path, given):
    Path(given["target"]).write_bytes(b"x")


def cut_ring(reader, path, given):
    os.ftruncate(reader._ring.descriptor, 0)


def too_many_frames(reader, path, given):
    while True:
        for _ in range(1000):
            reader._wire.send({"frame": 0})


def no_message(reader, path, given):
    reader._wire.connection.sendall(b"\xff" * 64)


def no_result(reader, path, given):
    return {"kind": "video", "container": "mp4", "width": 10**6, "height": 10**6}


def endless_number(reader, path, given):
    return {"kind": "video", "container": "mp4", "sar": "1e999999999"}


def environment(reader, path, given):
    return dict(os.environ)


def threads(reader, path, given):
    names = [[each.name for each in Path(f"/proc/self/{kind}").iterdir()] for kind in ("task", "fd")]
    return {"threads": len(names[0]), "open": names[1]}


if __name__ == "__main__":
    limits.CPU_S = 1
    tasks = [crash, abort, leave, spin, sleep, grow, fail, connect, start_program, fork, kill_worker]
    tasks += [limit_worker, open_many, write, cut_ring, too_many_frames, no_message, no_result]
    tasks += [endless_number, environment, threads]
    child.TASKS = {task.__name__: task for task in tasks}
    zygote.main(int(sys.argv[1]))
