"""States: the life of a job as a drawing, with every move of the table in service/jobs/states.py.

The states up to success stand in a row, the other ends below it. drawings.py writes it.
"""

from typing import Final

from svg import FAINT, Point, Sheet

from service.jobs.states import TERMINAL, TRANSITIONS, JobEvent, JobState

WIDE, HIGH, GAP = 100, 44, 84
ROW: Final = 124  # height on the sheet of the row's middle
LEAP: Final = 40
FIRST_END, PITCH = 216, 64  # of the ends below it
OPEN, OVER = "#cfe2f7", "#eceff3"


def states() -> Sheet:
    """The table, once: each move an arrow that carries the name of its event."""
    sheet = Sheet("The life of a job")
    row = _row()
    middles = {state: (16 + WIDE / 2 + column * (WIDE + GAP), float(ROW)) for column, state in enumerate(row)}
    ends = [state for state in JobState if state not in row]
    last = middles[row[-1]][0]
    middles |= {state: (last, float(FIRST_END + PITCH * place)) for place, state in enumerate(ends)}
    for state, (x, y) in middles.items():
        sheet.box(x - WIDE / 2, y - HIGH / 2, WIDE, HIGH, OVER if state in TERMINAL else OPEN)
        sheet.text(x, y, state.value)
    for state, moves in TRANSITIONS.items():
        for event, target in moves.items():
            if target is state:
                _again(sheet, event, middles[state])
            elif target in ends:
                _give_up(sheet, event, middles[state], middles[target], offset=24 * ends.index(target) - 12)
            else:
                leaps = row.index(target) != row.index(state) + 1
                (_leap if leaps else _go_on)(sheet, event, middles[state], middles[target])
    return sheet


def _row() -> list[JobState]:
    """From the first state on, wherever a job that is not given up goes."""
    row = [next(iter(TRANSITIONS))]
    while onward := [t for e, t in TRANSITIONS[row[-1]].items() if t not in row and not _gives_up(e)]:
        longest = [state for state in onward if state not in TERMINAL] or onward
        (following,) = longest
        row.append(following)
    return row


def _gives_up(event: JobEvent) -> bool:
    """Whether the event ends a job from more than one state."""
    return sum(event in moves and moves[event] in TERMINAL for moves in TRANSITIONS.values()) > 1


def _go_on(sheet: Sheet, event: JobEvent, here: Point, there: Point) -> None:
    sheet.line((here[0] + WIDE / 2, here[1]), (there[0] - WIDE / 2, there[1]))
    words = event.value.split("_")
    for place, word in enumerate(words):
        y = here[1] - 10 - 13 * (len(words) - 1 - place)
        sheet.text((here[0] + there[0]) / 2, y, word, size=11, faint=True)


def _leap(sheet: Sheet, event: JobEvent, here: Point, there: Point) -> None:
    """Over what lies between: only one event does, so nothing is in its way."""
    x, top = here[0] + WIDE / 2 - 8, here[1] - HIGH / 2
    sheet.line((x, top), (x, LEAP), (there[0], LEAP), (there[0], top))
    sheet.text((x + there[0]) / 2, LEAP - 10, event.value.replace("_", " "), size=11, faint=True)


def _again(sheet: Sheet, event: JobEvent, here: Point) -> None:
    x, top = here[0], here[1] - HIGH / 2
    sheet.line((x + 24, top), (x + 24, top - 22), (x - 24, top - 22), (x - 24, top))
    sheet.text(x, top - 32, event.value.replace("_", " "), size=11, faint=True)


def _give_up(sheet: Sheet, event: JobEvent, here: Point, end: Point, *, offset: float) -> None:
    """Down to a rail that leads to the end; the rail is the same for all states."""
    x = here[0] + offset
    sheet.line((x, here[1] + HIGH / 2), (x, end[1]), (end[0] - WIDE / 2, end[1]), ink=FAINT)
    sheet.text(end[0] - WIDE / 2 - GAP / 2, end[1] - 10, event.value, size=11, faint=True)
