"""Growing: an object whose bytes come in many requests, to any process, and that is seen once it is finished.

Unlike a Writer's, its bytes outlive the process that took them: all that was told as written is there when
another goes on. Two that write at once do no harm as long as they write the same bytes, as two requests of
one client do: every byte has its place, and nothing gets shorter. Two ways: files_growing.py and
s3_growing.py, under one contract suite.
"""

from typing import Protocol


class Appending(Protocol):
    """Bytes from one place on."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Return when what was written is kept; also after an error."""


class Growing(Protocol):
    @property
    def token(self) -> str:
        """By which the storage finds it again."""

    def size(self) -> int:
        """Bytes that are there. Raises NotFound when it was finished or abandoned."""

    def append(self, offset: int) -> Appending:
        """Go on from there, which is at most its size. Raises NotFound."""

    def finish(self) -> None:
        """Make the object appear; harmless when it has. Raises NotFound when it was abandoned."""

    def abandon(self) -> None:
        """Free what is there; harmless when nothing is."""
