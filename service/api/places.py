"""Places: how many may be served in one way at a time. For one event loop, so it needs no lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import TooBusy


@dataclass(slots=True)
class Places:
    """`with places.one():` for each who is served."""

    what: str
    count_max: int
    taken: int = 0

    @property
    def is_one_free(self) -> bool:
        return self.taken < self.count_max

    def require_one(self) -> None:
        """Raises TooBusy when all are taken."""
        if not self.is_one_free:
            raise TooBusy(f"{self.taken} {self.what}; try again later", value=self.taken)

    @contextmanager
    def one(self) -> Iterator[None]:
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
