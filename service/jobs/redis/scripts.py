"""The Lua behind store.py, lua/*.lua: each script is one atomic move of the store, on the server's clock.

    job:<id>     hash   every field of Job as JSON, and fields of ours that begin with `_`; `_by|<event>`
                        is the token of the call that moved the job so: by it a repetition is known;
                        `_ring` and `_since`: where and since when it stands; `_runtime`: of its segments;
                        `_counted`, `_charged`: there once its owner's use has its bytes, its pixels;
                        `_megapixels_max`: of its owner's quota, empty for none
    steps:<id>   hash   `<step>|<field>` of every StepRecord; empty text is None; gone when the job ends
    ready:<id>   set    steps not done whose predecessors are; lease and state are looked at when asked
    line:<id>    sorted set by their order: of those, the ones that nobody holds, as far as anyone noticed
    ring:<ring>  sorted set of owners with jobs in that ring, by what they were given (turns.py)
    ring:<ring>:<owner>  sorted set of these jobs by ticket
    rings        set    rings in which anything stands
    spent        hash   what each owner was given, in frames; owners are few, and so nothing is removed
    level        text   what the owner had been given who was served last
    heard        sorted set of runtimes, by when a worker was heard of that has it
    took:<name>  text   job and step taken under that name, for repetitions; it lives as long as a lease
    workers      sorted set of names, by when each worker was heard of
    pace:<kind> <model>  sorted set of what jobs took, as JSON, by when they ended (pace.py)
    key:<key>    text   the job an idempotency key made
    claim:<key>  text   the job that it began to make, for an hour
    jobs         sorted set, score 0: all ids, in order of age because ids sort so
    active       sorted set by creation time: jobs that have not ended
    queued       sorted set by creation time: those of them that nobody has looked into
    finished     sorted set by time of ending: the others
    owned:<id>   sorted set, score 0: those of one key, in order of age
    open:<id>    set    of those, the ones that have not ended
    used:<id>:<day>  hash   what one key used that day (UTC), by names of Quota; it goes after the next
    drawn:<id>:<minute>  text   requests of one key that were let in
    counted:<id> text   there for an hour once an upload's bytes were counted
    brief        sorted set by time: jobs that have ended and go then, as their sender asked
    hooks        sorted set by time: jobs that have ended and whose receiver is to be told then
    counts       hash   jobs by state
    epoch        text   what the store is known by until it loses all
    complete     text   there when every manifest is in the store; it goes with the rest when that is lost

Everything lies under the prefix `upscaled:`. Times are seconds since 1970 with six digits, as text, because a
number that Lua returns loses its fraction.

A script's first line declares what it takes, each as `name`, `name: number` or `name: json`: these are its
locals, and the names by which `Scripts.run` wants them.

A server whose memory is full refuses the scripts that take in new work. All others go through, as what is
there must end before memory is freed.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis
from redis.commands.core import Script

from service.jobs.model import ENTERED_AT
from service.jobs.states import TERMINAL, JobState
from service.jobs.steps import ABSENT_S, ANY, FIRST, RUNNABLE_IN, SMALL, UNFINISHED

PREFIX: Final = "upscaled:"
FOLDER: Final = Path(__file__).with_name("lua")
PRELUDES: Final = ("prelude", "quotas", "turns", "moves")  # in front of every script, in this order
TAKES_IN_WORK: Final = frozenset({"claim", "create", "restore", "set_segments"})
_LOCALS: Final = {"text": "ARGV[%d]", "number": "tonumber(ARGV[%d])", "json": "cjson.decode(ARGV[%d])"}
_CONSTANTS: Final = {"SMALL": SMALL, "ANY": ANY, "FIRST": FIRST, "ABSENT_S": ABSENT_S, "ASSEMBLE_RANK": 10**9}
_TAKES: Final = re.compile(r"-- takes (\w+(?:: \w+)?(?:, \w+(?:: \w+)?)*)\n")


@dataclass(frozen=True, slots=True)
class ScriptText:
    """One script as the server gets it, and the kind of each argument by its name, in their order."""

    lua: str
    takes: Mapping[str, str]

    def arguments(self, given: Mapping[str, Any]) -> list[str | float]:
        """As the server takes them; None is empty text."""
        assert given.keys() == self.takes.keys(), f"given {sorted(given)}, taken {sorted(self.takes)}"
        values = [
            json.dumps(given[name]) if kind == "json" else given[name] for name, kind in self.takes.items()
        ]
        return ["" if value is None else value for value in values]


class Scripts:
    """All scripts on one server, run by name."""

    def __init__(self, client: redis.Redis) -> None:
        texts = {
            path.stem: read_script(path.stem) for path in FOLDER.glob("*.lua") if path.stem not in PRELUDES
        }
        self._scripts: dict[str, tuple[ScriptText, Script]] = {
            name: (text, client.register_script(text.lua)) for name, text in texts.items()
        }

    def run(self, script: str, /, **given: Any) -> Any:
        """What the script answers to just the arguments it declares."""
        text, registered = self._scripts[script]
        return registered(args=text.arguments(given))


def read_script(name: str) -> ScriptText:
    """The script of that name with what it rests on; the tables of states are Python's own."""
    tables = {
        "STATES_OF_KIND": {kind: _as_set(states) for kind, states in RUNNABLE_IN.items()},
        "UNFINISHED": _as_set(UNFINISHED),
        "TERMINAL": _as_set(TERMINAL),
        "ENTERED_AT": ENTERED_AT,
    }
    *preludes, script = ((FOLDER / f"{each}.lua").read_text() for each in (*PRELUDES, name))
    declared = _TAKES.match(script)
    assert declared is not None, f"{name}.lua does not begin with what it takes"
    pairs = (each.partition(": ") for each in declared[1].split(", "))
    takes = {argument: kind or "text" for argument, _, kind in pairs}
    lines = [] if name in TAKES_IN_WORK else ["#!lua flags=allow-oom"]
    lines += [f"local P = '{PREFIX}'"]
    lines += [f"local {title} = cjson.decode('{json.dumps(table)}')" for title, table in tables.items()]
    lines += [f"local {title} = {json.dumps(value)}" for title, value in _CONSTANTS.items()]
    lines += preludes
    lines += [
        f"local {argument} = {_LOCALS[kind] % place}"
        for place, (argument, kind) in enumerate(takes.items(), 1)
    ]
    return ScriptText("\n".join([*lines, script]), takes)


def _as_set(states: Iterable[JobState]) -> dict[str, bool]:
    return {state.value: True for state in states}
