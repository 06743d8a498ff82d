"""Write the tables of models in README.md from the cards; with `--check`, say whether they are up to date."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from model_core.checkpoint import shipped

PAGE: Final = Path(__file__).parent.parent / "README.md"
START, END = "<!-- models: written by scripts/models_docs.py -->\n", "<!-- /models -->\n"
SCORES: Final = {
    "psnr": ("PSNR dB ↑", ".2f"),
    "ssim": ("SSIM ↑", ".3f"),
    "lpips": ("LPIPS ↓", ".3f"),
    "tof": ("tOF ↓", ".3f"),
    "tlp": ("tLP ↓", ".2f"),
}
INPUTS: Final = {
    "vid4_bd": "blurred, then four times reduced: clean video",
    "vid4_bd-x264": "the same, compressed by x264 at CRF 28",
    "vid4_decimated": "every fourth pixel, no blur: jagged edges",
    "vid4_bd-noise10": "blurred, reduced, noise of 10 levels",
}
BEST: Final[dict[str, Callable[[Iterable[float]], float]]] = {"psnr": max, "lpips": min, "tof": min}


def page(text: str) -> str:
    """The same page with the tables of today."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    assert end, "README.md has lost the marks between which the tables stand"
    return before + START + "".join([*_what_each_is(), "\n", *_how_each_takes_an_input()]) + END + after


def _what_each_is() -> Iterator[str]:
    titles = [title for title, _ in SCORES.values()]
    yield f"| model | what it is | weights | {' | '.join(titles)} | licence |\n"
    yield f"|---|---|---|{'---|' * len(SCORES)}---|\n"
    for name, folder in shipped().items():
        card = _card(folder)
        scores = card.get("scores", {}).get("vid4_bd", {})
        cells = [_cell(scores.get(key), form) for key, (_, form) in SCORES.items()]
        summary = str(card.get("summary", ""))
        size_bytes = (folder / "model.safetensors").stat().st_size
        size = f"{size_bytes / 1e6:.1f} MB" if size_bytes > 1e5 else "none"
        row = (f"`{name}`", summary, size, *cells, str(card.get("licence", "see its card")))
        yield f"| {' | '.join(row)} |\n"


def _how_each_takes_an_input() -> Iterator[str]:
    cards = {name: _card(folder) for name, folder in shipped().items()}
    yield f"| PSNR dB ↑, LPIPS ↓, tOF ↓ of | {' | '.join(f'`{name}`' for name in cards)} |\n"
    yield f"|---|{'---|' * len(cards)}\n"
    for protocol, words in INPUTS.items():
        scores = [card["scores"][protocol] for card in cards.values()]
        best = {key: choose(one[key] for one in scores) for key, choose in BEST.items()}
        cells = (", ".join(_marked(key, one[key], value) for key, value in best.items()) for one in scores)
        yield f"| {words} | {' | '.join(cells)} |\n"


def _marked(key: str, score: float, best: float) -> str:
    text = _cell(score, SCORES[key][1])
    return f"**{text}**" if score == best else text


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / "card.json").read_text())
    return card


def _cell(score: float | None, form: str) -> str:
    return "" if score is None else format(score, form)


def main() -> int:
    text = PAGE.read_text()
    if "--check" in sys.argv[1:]:
        if page(text) == text:
            return 0
        print("the table of models in README.md is not what the cards say", file=sys.stderr)
        return 1
    PAGE.write_text(page(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
