"""What one GPU does with this code: the serving engine, training steps, and the loader that feeds them.

    python -m benchmarks.gpu [--seconds 240] [--data PACK] [--json FILE]
    python -m benchmarks.gpu --device cpu --quick        # tiny sizes, to see that it runs

Needs torch, numpy, OpenCV and safetensors alone. The seconds are shared out among all cases, so that a short
time leaves each with fewer rounds rather than some with none; what was left out is listed. One JSON object
comes first, then tables. The cases: engine.py, training.py.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import torch

from benchmarks.gpu import engine, training
from benchmarks.gpu.cases import Case, Record, measure
from benchmarks.shared.markdown import table
from worker.engine.backends.torch import TILE_PIXELS_MAX


@dataclass(frozen=True, slots=True)
class Extent:
    """sizes (width, height) of low frames, numbers of streams, presets, and clips a step."""

    sizes: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]
    presets: tuple[str, ...]
    batches: tuple[int, ...]


FULL: Final = Extent(
    ((180, 144), (480, 270), (960, 540)),
    (1, 2, 4, 8),
    ("trunk", "teco_lite", "frvsr_paper", "tecogan_paper"),
    (4, 8, 16),
)
QUICK: Final = Extent(((24, 16),), (1, 2), ("trunk", "tecogan_paper"), (1,))


def main(arguments: Sequence[str] | None = None) -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=240, help="be done within so many")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--tile-pixels",
        type=int,
        default=TILE_PIXELS_MAX,
        help="as UPSCALED_TILE_PIXELS_MAX; it also bounds how many large frames make a batch",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes and networks")
    parser.add_argument("--data", type=Path, help="what the loader draws from; made-up clips without it")
    parser.add_argument("--json", type=Path, help="write the JSON there and not to the terminal")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device; --device cpu --quick shows that the rest runs")
    cv2.setNumThreads(1)  # as in training and in the service's decoding threads
    extent = QUICK if options.quick else FULL
    cases: list[Case] = [
        *engine.cases(extent.sizes, engine.Setting(extent.counts, device, options.tile_pixels)),
        *training.step_cases(device, extent.presets, extent.batches, tiny=options.quick),
        *training.loader_cases(device, options.data, extent.presets, max(extent.batches), tiny=options.quick),
    ]
    records, left_out = measure(cases, started + options.seconds)
    report = {
        "machine": machine(device),
        "records": records,
        "left_out": left_out,
        "seconds": round(time.monotonic() - started, 1),
    }
    text = json.dumps(report)
    if options.json:
        options.json.write_text(text)
    else:
        print(text)
    print(tables(report))


def machine(device: torch.device) -> dict[str, Any]:
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "threads": torch.get_num_threads(),
    }


def tables(report: dict[str, Any]) -> str:
    """Markdown for reading: the engine, the training steps, the loader."""
    by_kind: dict[str, list[Record]] = {"engine": [], "step": [], "loader": []}
    for record in report["records"]:
        by_kind[record["kind"]].append(record)
    facts = report["machine"]
    lines = [f"{facts['device']}, PyTorch {facts['torch']}, {report['seconds']} s", ""]
    lines += _engine_table(by_kind["engine"])
    lines += _step_table(by_kind["step"], by_kind["loader"])
    lines += _loader_table(by_kind["loader"])
    if report["left_out"]:
        lines.append("Left out, for want of time: " + "; ".join(report["left_out"]))
    return "\n".join(lines)


def _engine_table(records: list[Record]) -> list[str]:
    """A row for each model, size and format; a column for each number of streams."""
    counts = sorted({record["streams"] for record in records})
    rows: dict[tuple[str, str, str], dict[int, Record]] = {}
    for record in records:
        key = str(record["model"]), f"{record['width']}x{record['height']}", str(record["precision"])
        rows.setdefault(key, {})[record["streams"]] = record
    head = ["model", "input", "format", *(f"{count} at once" for count in counts), "mean batch", "MiB"]
    body = []
    for key, found in rows.items():
        cells = [
            f"{found[count]['frames_per_s']:.1f} ({found[count]['ratio']:.2f})" if count in found else ""
            for count in counts
        ]
        last = found[max(found)]
        body.append([*key, *cells, f"{last['mean_batch']:.1f}", _mib(last)])
    return _table("Engine: frames/s of all streams together (and against one stream)", head, body)


def _step_table(records: list[Record], loaders: list[Record]) -> list[str]:
    supply = {record["preset"]: record["rows_per_s"] for record in loaders}
    head = [
        "preset",
        "batch",
        "fp32 ms",
        "bf16 ms",
        "rows/s at the faster",
        "of what the loader makes",
        "MiB",
    ]
    body = []
    for record in records:
        if "rows_per_s" not in record:
            body.append([record["preset"], str(record["batch"]), record["failed"], *[""] * 4])
            continue
        share = record["rows_per_s"] / supply[record["preset"]] if record["preset"] in supply else None
        times = [f"{record[f'{name}_ms']:.1f}" for name in ("fp32", "bf16")]
        use = "" if share is None else f"{share:.2f}"
        body.append(
            [record["preset"], str(record["batch"]), *times, f"{record['rows_per_s']:.0f}", use, _mib(record)]
        )
    return _table(
        "Training: one step, data already on the device (above 1: the loader starves it)", head, body
    )


def _loader_table(records: list[Record]) -> list[str]:
    head = ["preset", "library s", "sampler s", "rows/s first drawn", "rows/s"]
    body = [
        [
            record["preset"],
            f"{record['library_s']:.1f}",
            f"{record['sampler_s']:.1f}",
            f"{record['rows_per_s_first']:.0f}",
            f"{record['rows_per_s']:.0f}",
        ]
        for record in records
    ]
    return _table("Loader: one thread, batches as they lie on the device", head, body)


def _mib(record: Record) -> str:
    return "" if record["peak_mib"] is None else f"{record['peak_mib']:.0f}"


def _table(title: str, head: list[str], body: Iterable[list[str]]) -> list[str]:
    return [title, "", *table(head, body), ""]


if __name__ == "__main__":
    main()
