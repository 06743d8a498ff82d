"""Page: what runs came to, as tables; `python -m tests.chaos.page JSON...` makes benchmarks/CHAOS.md."""

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.shared import machine
from benchmarks.shared.markdown import number, table
from tests.chaos.storm import Outcome

_HEAD: Final = (
    "seed",
    "kills",
    "minutes",
    "jobs",
    "lost",
    "duplicated",
    "different",
    "orphans",
    "attempts too many",
    "progress fell",
    "s to recover: median",
    "worst",
    "frames",
    "computed twice",
)


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """One line a run."""
    return table(_HEAD, [_row(outcome) for outcome in outcomes])


def by_disturbance(outcomes: Sequence[Outcome]) -> list[str]:
    """One line a disturbance, over all runs."""
    body = []
    for name in outcomes[0].kills:
        count = sum(outcome.kills[name] for outcome in outcomes)
        recovered_s = [each for outcome in outcomes for each in outcome.recovered_s.get(name, [])]
        reason = next((outcome.left_out[name] for outcome in outcomes if name in outcome.left_out), None)
        body.append(
            [
                name,
                f"left out: {reason}" if reason else count,
                len(recovered_s),
                *_median_and_worst(recovered_s),
            ]
        )
    return table(("disturbance", "times", "alone", "s to recover: median", "worst"), body)


def _row(outcome: Outcome) -> list[object]:
    found = outcome.broken
    recovered_s = [each for some in outcome.recovered_s.values() for each in some]
    return [
        outcome.seed,
        sum(outcome.kills.values()),
        number(outcome.run_s / 60),
        outcome.jobs,
        *(
            len(found[name])
            for name in ("lost", "duplicated", "different", "orphans", "attempts", "progress")
        ),
        *_median_and_worst(recovered_s),
        outcome.frames,
        outcome.frames_twice,
    ]


def _median_and_worst(seconds: Iterable[float]) -> list[str | None]:
    ordered = sorted(seconds)
    return [number(statistics.median(ordered)), number(ordered[-1])] if ordered else [None, None]


def page(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        "# Results of `make chaos`",
        "",
        f"- Machine: {machine.described()}; other work took a part of it.",
        "- What is done, and what must hold: [operations](../docs/operations.md#what-was-broken-on-purpose).",
        "- Seconds to recover are from the end of a disturbance until every job that was under way then has",
        "  moved on, of those disturbances, one in six, that came alone. The others often come together.",
        "- *Computed twice* are frames beyond those of the results: in hand when a worker, or a lease, was",
        "  lost.",
        "",
        *summary(outcomes),
        "",
        *by_disturbance(outcomes),
    ]


if __name__ == "__main__":
    made = [Outcome(**json.loads(Path(name).read_text())) for name in sys.argv[1:]]
    (Path(machine.__file__).parent / "CHAOS.md").write_text("\n".join(page(made)) + "\n")
