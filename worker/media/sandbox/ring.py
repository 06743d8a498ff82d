"""Ring: frames in memory that two processes share, in a few slots taken in turn.

The reading process fills a slot and says so; the worker copies the frame out and says that the slot is free.
Who fills which slot follows from counting alone. The worker makes the memory and seals its size, since it
would be killed by touching a page that the other end had cut off.
"""

import fcntl
import mmap
import os
import sys
import tempfile
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from worker.frames import Planes

SLOTS: Final = 4  # so many frames are decoded ahead, beside those that the decoder's threads hold


class Ring:
    """`Ring.make(...)` in the worker; `Ring.of(...)` at the other end, with the descriptor it was given.

    slot_bytes   of the largest frame
    """

    def __init__(self, descriptor: int, slot_bytes: int, slots: int) -> None:
        self.descriptor = descriptor
        self.slot_bytes, self.slots = slot_bytes, slots
        self._memory = mmap.mmap(descriptor, slot_bytes * slots)

    @classmethod
    def make(cls, slot_bytes: int, slots: int = SLOTS) -> Self:
        descriptor = _anonymous(slot_bytes * slots)
        try:
            return cls(descriptor, slot_bytes, slots)
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def size_bytes(self) -> int:
        return self.slot_bytes * self.slots

    def put(self, place: int, frame: Planes) -> None:
        """Copy a frame into the slot of the `place`-th one."""
        assert frame.nbytes <= self.slot_bytes, "a frame is no larger than was said"
        np.copyto(self._view(place, frame.shape, frame.dtype), frame)

    def take(self, place: int, shape: tuple[int, ...], *, is_deep: bool = False) -> Planes:
        """A copy of the `place`-th frame, which no other process can change any more."""
        return self._view(place, shape, np.dtype(np.uint16 if is_deep else np.uint8)).copy()

    def _view(self, place: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        offset = place % self.slots * self.slot_bytes
        count = int(np.prod(shape))
        assert count * dtype.itemsize <= self.slot_bytes, "a frame is no larger than was said"
        view: NDArray[Any] = np.frombuffer(self._memory, dtype, count, offset)
        return view.reshape(shape)

    def clear(self) -> None:
        """Give the memory back where the system can; slots are zero then."""
        if hasattr(mmap, "MADV_REMOVE"):
            self._memory.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)


def _anonymous(size_bytes: int) -> int:
    """A file without a name that takes memory as it is filled."""
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            file.truncate(size_bytes)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size_bytes)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor
