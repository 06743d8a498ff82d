"""The tables of benchmarks/auto, out of its scores."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import mean
from typing import Any, Final

from benchmarks.auto.inputs import INPUTS
from benchmarks.shared.markdown import table
from service.auto import AUTO

MODELS: Final = ("bicubic", "frvsr-lite", "teco-lite", "real-lite")
START, END = "<!-- auto: written by python -m benchmarks.auto -->\n", "<!-- /auto -->\n"
WORSE_MAX_DB: Final = 0.3

Scores = Mapping[str, Any]  # by clip, input, and model with its strength where that is not all
Key = tuple[str, str]  # clip and input


def page(scores: Scores, chosen: Mapping[Key, str]) -> Iterator[str]:
    """chosen   what auto took, as it is named in the scores"""
    seen, unseen = halves(scores)
    yield f"LPIPS (AlexNet), then PSNR in dB, means over {len(scores)} clips; a row's best LPIPS is bold."
    yield ""
    titles = [f"`{name}`" for name in (*MODELS, AUTO)]
    rows = []
    for name in INPUTS:
        keys = [(clip, name) for clip in scores if name in scores[clip]]
        if keys:
            rows.append([name, *_cells(scores, chosen, keys), _taken(chosen, keys)])
    for title, clips in (
        ("**all**", [*seen, *unseen]),
        (f"**{len(seen)}: every second clip**", seen),
        (f"**{len(unseen)}: the clips between**", unseen),
    ):
        rows.append([title, *_cells(scores, chosen, [(c, n) for c in clips for n in scores[c]]), ""])
    yield from table(["input", *titles, "auto took"], rows)
    yield ""
    yield from _floor(scores, chosen)


def halves(scores: Scores) -> tuple[list[str], list[str]]:
    """Every second clip by name, which thresholds are to be chosen by, and those between."""
    clips = sorted(scores)
    return clips[::2], clips[1::2]


def _cells(scores: Scores, chosen: Mapping[Key, str], keys: Sequence[Key]) -> Iterator[str]:
    lpips = {
        model: mean(_of(scores, chosen, key, model, "lpips") for key in keys) for model in (*MODELS, AUTO)
    }
    best = min(round(value, 3) for value in lpips.values())
    for model, value in lpips.items():
        psnr = mean(_of(scores, chosen, key, model, "psnr") for key in keys)
        shown = f"{value:.3f}"
        yield f"{f'**{shown}**' if round(value, 3) == best else shown}, {psnr:.2f}"


def _of(scores: Scores, chosen: Mapping[Key, str], key: Key, model: str, metric: str) -> float:
    clip, name = key
    return float(scores[clip][name][chosen[key] if model == AUTO else model][metric])


def _taken(chosen: Mapping[Key, str], keys: Iterable[Key]) -> str:
    taken = [chosen[key] for key in keys]
    return ", ".join(f"{each} {count}" for each, count in sorted(Counter(taken).items(), reverse=True))


def _floor(scores: Scores, chosen: Mapping[Key, str]) -> Iterator[str]:
    """Where each is furthest below bicubic."""
    keys = [(clip, name) for clip in scores for name in scores[clip]]
    rows = []
    for model in (*MODELS[1:], AUTO):
        below = {
            key: _of(scores, chosen, key, "bicubic", "psnr") - _of(scores, chosen, key, model, "psnr")
            for key in keys
        }
        worst = max(below, key=below.__getitem__)
        count = sum(value > WORSE_MAX_DB for value in below.values())
        rows.append(
            [f"`{model}`", f"{-below[worst]:+.2f} dB ({worst[0]}, {worst[1]})", f"{count} of {len(keys)}"]
        )
    yield from table(["", "PSNR against bicubic, the worst", f"worse by more than {WORSE_MAX_DB} dB"], rows)
