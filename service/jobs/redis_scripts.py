"""The Lua behind redis.py, lua/*.lua: each script is one atomic move of the store, on the server's clock.

    job:<id>     hash   every field of Job as JSON, and fields of ours that begin with `_`
    steps:<id>   hash   `<step>|<field>` of every StepRecord; empty text is None
    ready:<id>   set    steps not done whose predecessors are; lease and state are looked at when asked
    key:<key>    text   the job an idempotency key made
    jobs         sorted set, score 0: all ids, in order of age because ids sort so
    active       sorted set by creation time: jobs that have not ended
    finished     sorted set by time of ending: the others
    counts       hash   jobs by state
    complete     text   there when every manifest is in the store; it goes with the rest when that is lost

Everything lies under the prefix `upscaled:`. Times are seconds since 1970 with six digits, as text, because a
number that Lua returns loses its fraction.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from service.jobs.states import TERMINAL, WITHOUT_RESULT, JobState
from service.jobs.store import RUNNABLE_IN

PREFIX: Final = "upscaled:"
FOLDER: Final = Path(__file__).with_name("lua")


def read_script(name: str) -> str:
    """The script of that name with what it rests on; the tables of states are Python's own."""
    tables = {
        "STATES_OF_KIND": {kind: _as_set(states) for kind, states in RUNNABLE_IN.items()},
        "TERMINAL": _as_set(TERMINAL),
        "WITHOUT_RESULT": _as_set(WITHOUT_RESULT),
    }
    lines = [f"local P = '{PREFIX}'"]
    lines += [f"local {title} = cjson.decode('{json.dumps(table)}')" for title, table in tables.items()]
    prelude, script = ((FOLDER / f"{each}.lua").read_text() for each in ("prelude", name))
    return "\n".join([*lines, prelude, script])


def _as_set(states: Iterable[JobState]) -> dict[str, bool]:
    return {state.value: True for state in states}
