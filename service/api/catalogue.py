"""Catalogue: which models storage offers, read from the `latest.json` of each; no checkpoint is opened here.

`bicubic` is always there: it has no weights, so the service works before anything was published. `auto` is
there with the models that it chooses among.
"""

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from service.auto import AUTO, CANDIDATES, CARD
from service.errors import ModelsNotPublished, UnknownModel
from service.objects import published as models
from service.objects.base import NotFound, Storage

BASELINE = "bicubic"
FRESH_S = 2.0  # how long one look serves: a burst of uploads costs storage one listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model by name, the version that new jobs get, and its card."""

    name: str
    version: str | None  # None: nothing is published, the workers carry it, or choose
    card: dict[str, Any] = field(default_factory=dict)


class Catalogue:
    """entries() -> what is offered now, by name; require(name) raises UnknownModel. Blocks; thread-safe.

    expected   names that a worker publishes when it starts; as long as one is missing, a name that is not
               there may yet come, and `require` raises ModelsNotPublished in place of UnknownModel
    """

    def __init__(
        self,
        storage: Storage,
        expected: Collection[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._expected = frozenset(expected)
        self._clock = clock
        self._seen: tuple[float, dict[str, Entry]] | None = None  # replaced whole, so readers need no lock

    def entries(self) -> dict[str, Entry]:
        now = self._clock()
        if self._seen is None or now - self._seen[0] > FRESH_S:
            self._seen = (now, self._read())
        return self._seen[1]

    def require(self, name: str) -> None:
        entries = self.entries()
        if name in entries:
            return
        if missing := ", ".join(sorted(self._expected - entries.keys())):
            raise ModelsNotPublished(
                f"there is no model {name!r} yet: workers publish the models when they start, and {missing} "
                "is still missing",
                field="model",
                value=name,
            )
        offered = ", ".join(sorted(entries))
        raise UnknownModel(f"there is no model {name!r}; there are: {offered}", field="model", value=name)

    def _read(self) -> dict[str, Entry]:
        found = {BASELINE: Entry(name=BASELINE, version=None, card={"summary": _BASELINE_SUMMARY})}
        for name in models.names(self._storage):
            entry = self._read_one(name)
            if entry is not None:
                found[name] = entry
        if found.keys() >= set(CANDIDATES):
            found[AUTO] = Entry(name=AUTO, version=None, card=CARD)
        return dict(sorted(found.items()))

    def _read_one(self, name: str) -> Entry | None:
        """None when what lies there is no published model: a bad publish must not take the list down."""
        try:
            version = models.read_latest(self._storage, name).version
            card = json.loads(self._storage.get(models.file_key(name, version, "card.json")))
        except (NotFound, ValueError):
            return None
        return Entry(name=name, version=version, card=card if isinstance(card, dict) else {})


_BASELINE_SUMMARY = (
    "Bicubic interpolation: no network, no invented detail; the baseline every model must beat."
)
