"""`python -m tests.chaos --seed 1 --kills 200 [--json FILE]`: one storm; ends with 1 if a promise broke."""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos import page
from tests.chaos.storm import storm


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break a service at random.")
    parser.add_argument("--seed", type=int, default=1, help="decides what comes, and when")
    parser.add_argument("--kills", type=int, default=200, help="how many disturbances")
    parser.add_argument("--json", type=Path, help="file for what was found")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="upscaled-chaos-"))
    print(f"seed {options.seed}, {options.kills} kills; logs in {folder}", flush=True)
    outcome = storm(options.seed, options.kills, folder, tell=lambda text: print(text, flush=True))
    print("", *page.by_disturbance([outcome]), "", *page.summary([outcome]), "", sep="\n")
    for invariant, cases in outcome.broken.items():
        for case in cases:
            print(f"{invariant}: {case}")
    for process in outcome.fell:
        print(f"by itself: {process}")
    if options.json is not None:
        options.json.write_text(json.dumps(dataclasses.asdict(outcome), indent=1) + "\n")
    if outcome.is_well:
        shutil.rmtree(folder)
    print(f"seed {options.seed}: {'all is well' if outcome.is_well else f'broken; logs in {folder}'}")
    return 0 if outcome.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
