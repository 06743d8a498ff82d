"""What a page of figures says of the machine: in general words, so that it may be published."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

# Those that decide which formats are fast (worker/engine/backends/precision.py).
UNITS: Final = {
    "avx2": "AVX2", "avx512_f": "AVX-512", "avx512_vnni": "AVX-512 VNNI", "avx512_bf16": "AVX-512 BF16",
    "avx_vnni": "AVX-VNNI", "amx_int8": "AMX int8", "amx_bf16": "AMX bf16", "sve": "SVE", "bf16": "bf16",
}  # fmt: skip
LIBRARIES: Final = ("torch", "openvino", "opencv-python-headless", "av")


def described() -> str:
    """Family, cores and units of the processor, and the libraries that use them."""
    has = torch.cpu.get_capabilities()
    family = str(has.get("cpu_name") or platform.machine()).strip()
    units = ", ".join(word for unit, word in UNITS.items() if has.get(unit))
    cores = len(os.sched_getaffinity(0))
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{family}, {cores} cores, {units}; Python {platform.python_version()}, {libraries}"


def load() -> float:
    """Processes that want a core: mean of the last minute."""
    return os.getloadavg()[0]


def commit() -> str:
    """Of the checkout, and whether something was changed since."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        other_than_results = ":(top,exclude)benchmarks/RESULTS.*"
        changed = git("status", "--porcelain", "--untracked-files=no", "--", other_than_results)
        return git("rev-parse", "--short=12", "HEAD") + (", with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not a checkout of git"


def peak_mib(pid: int) -> float:
    """The largest resident size that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM: this needs Linux")


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
