"""Rows: the states of a batch's streams as one, and one by one again, as torch.py has them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model_core.recurrence import HIDDEN_LEVELS, State
from worker.engine.backends.base import Turn
from worker.frames import LowFrame, last_level


def gathered(turns: Sequence[Turn]) -> State:
    rows = [turn.state for turn in turns if isinstance(turn.state, State)]
    assert len(rows) == len(turns), "a recurrent stream has a state"
    if len(rows) == 1:
        return rows[0]
    return State(
        torch.cat([row.frame for row in rows]),
        torch.cat([row.output for row in rows]),
        torch.cat([row.hidden for row in rows]),
    )


def scattered(state: State, turns: Sequence[Turn]) -> list[State]:
    """One state for each row, in memory of its own: a slice would keep all other rows alive."""
    rows = [state]
    if len(turns) > 1:
        cuts = [slice(row, row + 1) for row in range(len(turns))]
        rows = [
            State(state.frame[cut].clone(), state.output[cut].clone(), state.hidden[cut].clone())
            for cut in cuts
        ]
    return [
        row.rounded(last_level(turn.frame)) if turn.keeps_state else row
        for row, turn in zip(rows, turns, strict=True)
    ]


def hidden_levels(state: State | None, frame: LowFrame) -> Tensor:
    """(h, w, hidden) of one stream's state, None of which a model without recurrence has."""
    if state is None:
        return torch.zeros((*frame.shape[:2], 0), dtype=torch.int8)
    return state.hidden[0].mul(HIDDEN_LEVELS).round().to(torch.int8).permute(1, 2, 0).contiguous()
