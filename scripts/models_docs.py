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
SCORES: Final = {"psnr": "PSNR dB ↑", "ssim": "SSIM ↑", "lpips": "LPIPS ↓", "tof": "tOF ↓", "tlp": "tLP ↓"}


def page(text: str) -> str:
    """The same page with the table of today."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    assert end, "README.md has lost the marks between which the table stands"
    return before + START + "".join(_rows()) + END + after


def _rows() -> Iterator[str]:
    yield f"| model | what it is | size | {' | '.join(SCORES.values())} | licence |\n"
    yield f"|---|---|---|{'---|' * len(SCORES)}---|\n"
    defaults = (
        Settings.model_fields["default_video_model"].default,
        Settings.model_fields["default_image_model"].default,
    )
    for name, folder in shipped().items():
        card: dict[str, Any] = json.loads((folder / "card.json").read_text())
        scores = card.get("scores", {}).get("vid4_bd", {})
        cells = [str(scores.get(key, "")) for key in SCORES]
        kinds = [kind for kind, model in zip(("video", "pictures"), defaults, strict=True) if model == name]
        note = f" Default for {' and '.join(kinds)}." if kinds else ""
        size_bytes = (folder / "model.safetensors").stat().st_size
        size = f"{size_bytes / 1e6:.1f} MB" if size_bytes > 1e5 else "none"
        yield f"| `{name}` | {card['summary']}{note} | {size} | {' | '.join(cells)} | {card['licence']} |\n"


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
