"""Storm: one run of the suite. Everything is done once undisturbed, then disturbances come at random.

What comes, and when, follows from the seed; what it meets, from how fast the machine is. Start at `storm`.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos import invariants, material, senders
from tests.chaos.cast import Cast, on_stage
from tests.chaos.checkpoints import Shelf
from tests.chaos.disturbances import TABLE, Scene
from tests.chaos.ledger import Ledger
from tests.chaos.material import Material
from tests.integration.conftest import MODEL
from tests.integration.running import START_S, eventually
from upscaled_client import Client

PAUSE_S_MAX: Final = 3.0  # between two disturbances: often the next comes before the last is overcome
CALM_OF: Final = 6  # one of so many comes when those before are overcome, and is overcome before the next
CALM_S_MAX: Final = 60.0  # is waited for that
SETTLE_S: Final = 240.0  # for what is under way when the last one is over
VERSIONS_S: Final = 60.0  # for every worker to follow a publication


@dataclass(frozen=True, kw_only=True)
class Outcome:
    seed: int
    kills: dict[str, int]  # how often each disturbance came
    left_out: dict[str, str]  # disturbances that can't be made here, and why
    jobs: int
    frames: int
    frames_twice: int  # computed, beyond those that were due
    recovered_s: dict[str, list[float]]  # by disturbance, of those that came alone and met a job
    broken: dict[str, list[str]]  # what is wrong, by invariant
    fell: list[str]  # processes that ended without being told to
    run_s: float

    @property
    def is_well(self) -> bool:
        return not any(self.broken.values())


def storm(seed: int, kills: int, folder: Path, *, tell: Callable[[str], None]) -> Outcome:
    """So many disturbances upon a service of its own, whose logs stay in `folder`."""
    began_at = time.monotonic()
    rng = random.Random(seed)
    with on_stage(folder) as cast:
        files = material.made_in(folder / "material")
        shelf = Shelf(folder / "models", cast.storage)
        ledger = Ledger(cast.store)
        references = _undisturbed(cast, ledger, files, shelf, folder)
        tell(f"ready after {time.monotonic() - began_at:.0f} s; {len(references)} results to compare with")
        undisturbed = len(ledger.promises)
        sending = senders.Senders(cast.url, ledger, files, folder / "results", seed)
        names = _order(cast, rng, kills)
        with _watched(ledger):
            sending.start()
            eventually(lambda: len(ledger.promises) > undisturbed, START_S)
            for number, name in enumerate(names):
                is_alone, pause_s = number % CALM_OF == 0, rng.uniform(0, PAUSE_S_MAX)
                if is_alone or number % CALM_OF == 1:
                    ledger.await_recovery(CALM_S_MAX)
                time.sleep(pause_s)
                tell(f"{number + 1:4} {name}")
                at = time.monotonic()
                TABLE[name].act(Scene(cast, shelf, sending, ledger, rng))
                ledger.struck(name, at, is_alone=is_alone)
            if not sending.finish(SETTLE_S):
                tell("some jobs do not end")
            cast.await_ready()
        found = invariants.broken(cast, ledger, references)
        due = sum(promise.report.get("frames_out", 0) for promise in ledger.promises)
        return Outcome(
            seed=seed,
            kills={name: names.count(name) for name in TABLE},
            left_out=_impossible(cast),
            jobs=len(ledger.promises),
            frames=due,
            frames_twice=cast.frames - due,
            recovered_s=_recovered(ledger),
            broken=found,
            fell=cast.fell,
            run_s=time.monotonic() - began_at,
        )


def _undisturbed(
    cast: Cast, ledger: Ledger, files: list[Material], shelf: Shelf, folder: Path
) -> dict[tuple[str, str], str]:
    """The digest of every good file's frames, by every version of its model that it may meet."""
    references: dict[tuple[str, str], str] = {}
    good = [each for each in files if not each.is_poison]
    with Client(cast.url) as client, ThreadPoolExecutor() as pool:

        def refer(file: Material, wanted: str | None) -> None:
            """By the version that is wanted; the workers follow a publication within seconds."""
            deadline = time.monotonic() + VERSIONS_S
            while wanted is None or (file.name, wanted) not in references:
                assert time.monotonic() < deadline, f"{file.name} is not made by {wanted}"
                promise = senders.send(client, ledger, file, folder, key=f"{file.name} {time.monotonic()}")
                assert promise.version is not None, promise
                assert promise.digest is not None, promise
                references[file.name, promise.version] = promise.digest
                wanted = wanted or promise.version

        for number in range(len(shelf.versions)):
            version = shelf.publish()
            those = [(each, version) for each in good if each.model == MODEL]
            those += [(each, None) for each in good if each.model != MODEL and number == 0]
            list(pool.map(refer, *zip(*those, strict=True)))
    return references


def _order(cast: Cast, rng: random.Random, kills: int) -> list[str]:
    """Like cards: all that can be made come once before any comes again."""
    impossible = _impossible(cast)
    deck = [name for name, each in TABLE.items() if name not in impossible for _ in range(each.times)]
    names: list[str] = []
    while len(names) < kills:
        names += rng.sample(deck, len(deck))
    return names[:kills]


def _impossible(cast: Cast) -> dict[str, str]:
    reasons = {name: each.impossible(cast) for name, each in TABLE.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


@contextlib.contextmanager
def _watched(ledger: Ledger) -> Iterator[None]:
    stop = threading.Event()
    watcher = threading.Thread(target=ledger.watch, args=(stop,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _recovered(ledger: Ledger) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for blow in ledger.blows:
        if blow.is_alone and blow.met and blow.recovered_s is not None:
            found.setdefault(blow.name, []).append(round(blow.recovered_s, 2))
    return found
