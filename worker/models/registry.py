"""Registry: the models of one worker; served, swapped when `latest` moves, pinned, and freed.

New work gets the version that passed the gate last; work that has begun keeps its own until it releases it.
A bad publish changes nothing but a metric. Not here: loading and the gate (loader.py), where versions lie
(service/objects/published.py), batching (engine/). Start reading at `Registry.acquire`.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from model_core import checkpoint
from model_core.config import ModelConfig
from service.errors import CheckpointInvalid, DeviceGone, StorageUnavailable, UnknownModel
from service.objects import published
from service.objects.base import InvalidKey, NotFound, Storage
from service.settings import Settings
from worker.engine.backends.making import Runtime
from worker.engine.backends.precision import Precision
from worker.engine.engine import Engine
from worker.engine.ticks import Stage
from worker.models.loader import Device, Loaded, Loader

log = logging.getLogger(__name__)

REFUSED_RETRY_S = 60.0  # a version that failed the gate may have been half uploaded; fetching it isn't free


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    version: str
    runtime: Runtime | None  # the one a job insists on; None: what suits this machine


@dataclass(slots=True, eq=False)
class _Entry:
    key: _Key
    loaded: Loaded
    users: int  # guarded by the registry's lock


class Served:
    """A model in use, by `with` or until `release`; its engine runs at least as long."""

    def __init__(self, entry: _Entry, release: Callable[[_Entry], None]) -> None:
        self._entry = entry
        self._release: Callable[[_Entry], None] | None = release
        self.name: str = entry.key.name
        self.version: str = entry.key.version
        self.engine: Engine = entry.loaded.engine
        self.config: ModelConfig = self.engine.backend.config
        self.backend: str = self.engine.backend.name
        self.precision: Precision = entry.loaded.choice.runtime.precision
        self.precision_reason: str = entry.loaded.choice.reason
        self.card: dict[str, Any] = entry.loaded.card

    def release(self) -> None:
        """Harmless when called again."""
        release, self._release = self._release, None
        if release is not None:
            release(self._entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Registry:
    """Thread-safe. `start` (or `with`) publishes what ships and begins to watch; the rest works without it.

    on_batch        told the number of streams of each step
    on_stage        told the seconds of each stage of a tick
    on_load_failed  told the name of a model whose version was refused
    """

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        *,
        on_batch: Callable[[int], None] | None = None,
        on_stage: Callable[[Stage, float], None] | None = None,
        on_load_failed: Callable[[str], None] | None = None,
    ) -> None:
        self._storage = storage
        device = Device(
            name=settings.device,
            precision=settings.precision,
            batch_max=settings.batch_max,
            tile_pixels_max=settings.tile_pixels_max,
            on_batch=on_batch,
            on_stage=on_stage,
        )
        self._loader = Loader(storage, settings.cache_dir / "models", device)
        self._poll_s = settings.models_poll_s
        self._on_load_failed = on_load_failed
        self._loading = threading.Lock()  # one load at a time; who finds the model loaded doesn't wait
        self._lock = threading.Lock()  # guards the three below
        self._entries: dict[_Key, _Entry] = {}
        self._current: dict[str, str] = {}  # name -> the version for new work; it passed the gate
        self._refused_at: dict[tuple[str, str], float] = {}  # (name, version) -> monotonic seconds
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="models", daemon=True)

    def start(self) -> None:
        for name in checkpoint.shipped():
            self._publish_shipped(name)
        self._poller.start()

    def close(self) -> None:
        """Stop watching and stop every engine; streams still open are closed."""
        self._stop.set()
        if self._poller.is_alive():
            self._poller.join()
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.loaded.engine.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def engines(self) -> list[Engine]:
        """Those that run now, for liveness and metrics."""
        with self._lock:
            return [entry.loaded.engine for entry in self._entries.values()]

    def loaded(self) -> list[tuple[str, str, str]]:
        """Name, version and precision of each model that is in memory."""
        with self._lock:
            return [
                (key.name, key.version, entry.loaded.engine.backend.precision)
                for key, entry in self._entries.items()
            ]

    def names(self) -> list[str]:
        return list(published.names(self._storage))

    def runtimes(self) -> frozenset[Runtime]:
        """Those to which work may be pinned that can run on this worker."""
        return self._loader.runtimes()

    def resolve(self, name: str) -> str:
        """The version that new work gets. Raises UnknownModel, CheckpointInvalid, StorageUnavailable."""
        with self._lock:
            current = self._current.get(name)
        return current or self._adopt_first(name)

    def acquire(self, name: str, version: str | None = None, *, runtime: Runtime | None = None) -> Served:
        """Use a model until released: as new work does, or as a job is pinned to it.

        Raises UnknownModel, CheckpointInvalid, StorageUnavailable
        """
        key = _Key(name, version or self.resolve(name), runtime)
        if (entry := self._take(key)) is None:
            with self._loading:
                if (entry := self._take(key)) is None:  # nobody else loaded it meanwhile
                    entry = self._load(key)
        return Served(entry, self._give_back)

    # Books

    def _take(self, key: _Key) -> _Entry | None:
        """One more user of what is loaded already."""
        with self._lock:
            # Of a failed engine its users hear from their streams; whoever comes now gets a new one.
            self._entries = {
                key: entry for key, entry in self._entries.items() if entry.loaded.engine.failure is None
            }
            entry = self._entries.get(key)
            if entry is None and key.runtime is not None:
                # What suits this machine may be just what the job insists on: they share batches.
                free = self._entries.get(_Key(key.name, key.version, None))
                entry = free if free and free.loaded.choice.runtime == key.runtime else None
            if entry is not None:
                entry.users += 1
            return entry

    def _load(self, key: _Key) -> _Entry:
        try:
            loaded = self._loader.load(key.name, key.version, key.runtime)
        except CheckpointInvalid as error:
            with self._lock:
                self._refused_at[key.name, key.version] = time.monotonic()
            log.warning(
                "model_refused", extra={"model": key.name, "version": key.version, "reason": str(error)}
            )
            if self._on_load_failed is not None:
                self._on_load_failed(key.name)
            raise
        entry = _Entry(key, loaded, users=1)
        with self._lock:
            self._entries[key] = entry
        log.info(
            "model_loaded",
            extra={
                "model": key.name,
                "version": key.version,
                "backend": loaded.choice.runtime.backend,
                "precision": loaded.choice.runtime.precision,
                "reason": loaded.choice.reason,
            },
        )
        return entry

    def _give_back(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
        self._free_unused()

    def _free_unused(self) -> None:
        """Stop the engines that nobody uses and no new work will get."""
        with self._lock:
            unused = [
                key
                for key, entry in self._entries.items()
                if entry.users == 0 and (key.runtime or self._current.get(key.name) != key.version)
            ]
            freed = [self._entries.pop(key) for key in unused]
        for entry in freed:  # outside the lock: an engine ends the tick in hand first
            entry.loaded.engine.close()
            log.info("model_freed", extra={"model": entry.key.name, "version": entry.key.version})

    # Which version is current

    def _poll(self) -> None:
        while not self._stop.wait(self._poll_s):
            with self._lock:
                names = list(self._current)
            for name in names:
                self._follow(name)

    def _follow(self, name: str) -> None:
        """Give new work the version that `latest` names, if that moved and passes the gate."""
        try:
            version = published.read_latest(self._storage, name).version
            with self._lock:
                refused_at = self._refused_at.get((name, version), float("-inf"))
                if self._current[name] == version or time.monotonic() < refused_at + REFUSED_RETRY_S:
                    return
            self._adopt(name, version)
        except (NotFound, ValueError, StorageUnavailable, CheckpointInvalid, DeviceGone) as error:
            log.warning("model_kept", extra={"model": name, "reason": str(error)})

    def _adopt_first(self, name: str) -> str:
        self._publish_shipped(name)
        try:
            latest = published.read_latest(self._storage, name)
        except (NotFound, InvalidKey) as error:
            raise UnknownModel(f"there is no model {name!r}", field="model", value=name) from error
        except ValueError as error:
            raise CheckpointInvalid(str(error), field="model", value=name) from error
        try:
            return self._adopt(name, latest.version)
        except CheckpointInvalid:
            # A worker that starts after a bad publish serves what those serve that saw it happen.
            if latest.previous is None:
                raise
            return self._adopt(name, latest.previous)

    def _publish_shipped(self, name: str) -> None:
        """Where storage has no version of a model that comes with the package, it gets that one."""
        folder = checkpoint.shipped().get(name)
        if folder is None:
            return
        version = checkpoint.version_of(folder)
        if published.publish_first(self._storage, name, version, folder):
            log.info("model_published", extra={"model": name, "version": version})

    def _adopt(self, name: str, version: str) -> str:
        """Load a version and make it current; raises CheckpointInvalid and leaves all as it was."""
        with self.acquire(name, version), self._lock:
            self._current[name] = version
        self._free_unused()
        return version
