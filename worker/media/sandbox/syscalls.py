"""A filter in the kernel for what no reader of media calls: network, other programs, other processes.

A list of what is refused, not of what is allowed: decoders, allocators and thread libraries call too much
that changes with their versions. It takes from code that a file smuggled in the ways to reach further. On
Linux for x86-64 and ARM64; elsewhere it does nothing.
"""

import ctypes
import errno
import os
import platform
from dataclasses import dataclass
from typing import Final

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2  # <linux/prctl.h>, <linux/seccomp.h>
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUALS, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # <linux/bpf_common.h>
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data, little endian
_CLONE_THREAD: Final = 0x10000


@dataclass(frozen=True, slots=True)
class _Machine:
    """Numbers of one architecture. Of three the first argument is looked at; `clone3` has none to look at."""

    audit: int
    refused: tuple[int, ...]
    clone: int
    prlimit: int
    tgkill: int
    clone3: int = 435


# socket, connect, accept, bind, listen, accept4; execve, execveat; fork, vfork; kill, tkill, ptrace,
# process_vm_readv, process_vm_writev, pidfd_send_signal, pidfd_open, pidfd_getfd; mount, unshare, setns, bpf,
# perf_event_open, userfaultfd, add_key, request_key, keyctl, io_uring_setup, open_by_handle_at
_MACHINES: Final = {
    "x86_64": _Machine(
        audit=0xC000003E,
        refused=(
            *(41, 42, 43, 49, 50, 288, 59, 322, 57, 58, 62, 200, 101, 310, 311, 424, 434, 438),
            *(165, 272, 308, 321, 298, 323, 248, 249, 250, 425, 304),
        ),
        clone=56,
        prlimit=302,
        tgkill=234,
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        refused=(
            *(198, 203, 202, 200, 201, 242, 221, 281, 129, 130, 117, 270, 271, 424, 434, 438),
            *(40, 97, 268, 280, 241, 282, 217, 218, 219, 425, 265),
        ),
        clone=220,
        prlimit=261,
        tgkill=131,
    ),
}
_FOREIGN_FROM: Final = 0x40000000  # numbers of x86's other calling convention


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


def forbid() -> bool:
    """Refuse those calls to this process from now on; whether the system could."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    lines = _program(machine)
    instructions = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    program = _Program(len(lines), ctypes.cast(instructions, ctypes.POINTER(_Instruction)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return not libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)


def _program(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """(code, skip if true, skip if false, value) for each instruction."""
    no = _ERRNO | errno.EPERM
    lines = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUALS, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _FOREIGN_FROM),
        (_RETURN, 0, 0, no),
        (_EQUALS, 0, 1, machine.clone3),  # its flags lie in memory; told that there is none, libc uses clone
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        *_only_where(machine.clone, (_HAS_BITS, 0, 1, _CLONE_THREAD)),
        *_only_where(machine.prlimit, (_EQUALS, 0, 1, 0)),  # its own limits
        *_only_where(machine.tgkill, (_EQUALS, 0, 1, os.getpid())),  # its own threads
    ]
    for number in machine.refused:
        lines += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, no)]
    return [*lines, (_RETURN, 0, 0, _ALLOW)]


def _only_where(number: int, test: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Allow a call where its first argument passes the test."""
    return [
        (_EQUALS, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        test,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
