"""`python -m tests.fuzz --mutants 2000 --seed 1`: mangle files of every format, read them, count the ends.

Every mutant ends in frames or in a typed error; else this ends with 1 and keeps the file. Prints a table: how
each format ended, how many readers broke, what the slowest took, and the most memory one had.
"""

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.shared.markdown import table
from tests.fuzz.mutants import mutant
from tests.fuzz.outcomes import MEMORY_MAX, Outcome, outcome
from tests.fuzz.samples import make_samples

SLOW_S = 60.0  # for a file of a few kilobytes: it hangs


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, default=Path("data/fuzz"), help="where those go that end otherwise"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="upscaled-fuzz-") as folder:
        samples = make_samples(Path(folder) / "samples")
        found, bad = run(samples, range(options.mutants), options.seed, Path(folder), options.keep)
    print(f"{options.mutants} mutants, seed {options.seed}; a reader may take {MEMORY_MAX >> 20} MiB\n")
    print("\n".join(page(found)))
    print(f"\n{bad} ended otherwise" if bad else "\nall ended in frames or in a typed error")
    return 1 if bad else 0


def run(
    samples: Sequence[Path], which: Iterable[int], seed: int, folder: Path, keep: Path
) -> tuple[dict[str, list[Outcome]], int]:
    """The outcomes by the format's name, and how many mutants ended in anything else."""
    contents = [path.read_bytes() for path in samples]
    found: dict[str, list[Outcome]] = {}
    bad = 0
    for number in which:
        name = samples[number % len(samples)].name
        path = folder / f"{seed}-{number}-{name}"
        path.write_bytes(mutant(contents, number, seed))
        try:
            ended = outcome(path)
            found.setdefault(name, []).append(ended)
            is_bad = ended.how == "nothing" or ended.took_s > SLOW_S or ended.memory_bytes > MEMORY_MAX
        except Exception:  # noqa: BLE001 - that is what we look for
            traceback.print_exc()
            is_bad = True
        if is_bad:
            bad += 1
            keep.mkdir(parents=True, exist_ok=True)
            path.rename(keep / path.name)
            print(f"kept {keep / path.name}", file=sys.stderr)
        else:
            path.unlink()
    return found, bad


def page(found: dict[str, list[Outcome]]) -> list[str]:
    codes = [code for code, _ in Counter(each.how for ends in found.values() for each in ends).most_common()]
    rows = [_row(name, ends, codes) for name, ends in found.items()]
    rows.append(_row("all", [each for ends in found.values() for each in ends], codes))
    return table(["file", "mutants", *codes, "readers that broke", "slowest s", "most MiB"], rows)


def _row(name: str, ends: list[Outcome], codes: list[str]) -> list[str | None]:
    counts = Counter(each.how for each in ends)
    return [
        name,
        str(len(ends)),
        *(str(counts[code]) for code in codes),
        str(sum(each.is_broken for each in ends)),
        f"{max(each.took_s for each in ends):.2f}",
        str(max(each.memory_bytes for each in ends) >> 20),
    ]


if __name__ == "__main__":
    sys.exit(main())
