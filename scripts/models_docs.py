"""Write the table of models in README.md from the cards; with `--check`, say whether it is up to date."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from model_core.checkpoint import shipped
from service.settings import Settings

PAGE: Final = Path(__file__).parent.parent / "README.md"
START, END = "<!-- models: written by scripts/models_docs.py -->\n", "<!-- /models -->\n"
SCORES: Final = {
    "psnr": ("PSNR dB ↑", ".2f"),
    "ssim": ("SSIM ↑", ".3f"),
    "lpips": ("LPIPS ↓", ".3f"),
    "tof": ("tOF ↓", ".3f"),
    "tlp": ("tLP ↓", ".2f"),
}


def page(text: str) -> str:
    """The same page with the table of today."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    assert end, "README.md has lost the marks between which the table stands"
    return before + START + "".join(_rows()) + END + after


def _rows() -> Iterator[str]:
    titles = [title for title, _ in SCORES.values()]
    yield f"| model | what it is | weights | {' | '.join(titles)} | licence |\n"
    yield f"|---|---|---|{'---|' * len(SCORES)}---|\n"
    for name, folder in shipped().items():
        card: dict[str, Any] = json.loads((folder / "card.json").read_text())
        scores = card.get("scores", {}).get("vid4_bd", {})
        cells = [_cell(scores.get(key), form) for key, (_, form) in SCORES.items()]
        summary = f"{card.get('summary', '')} {_default_note(name)}".strip()
        size_bytes = (folder / "model.safetensors").stat().st_size
        size = f"{size_bytes / 1e6:.1f} MB" if size_bytes > 1e5 else "none"
        row = (f"`{name}`", summary, size, *cells, str(card.get("licence", "see its card")))
        yield f"| {' | '.join(row)} |\n"


def _cell(score: float | None, form: str) -> str:
    return "" if score is None else format(score, form)


def _default_note(name: str) -> str:
    fields = Settings.model_fields
    kinds = {"video": "default_video_model", "pictures": "default_image_model"}
    defaults = [kind for kind, field in kinds.items() if fields[field].default == name]
    return f"Default for {' and '.join(defaults)}." if defaults else ""


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
