"""`python -m benchmarks`: every measurement that runs on a processor, one after the other.

Figures are of this machine and this moment; quote ratios of one run only. Each runs alone too, with options.
"""

import subprocess
import sys

MEASUREMENTS = ("benchmarks.engine", "benchmarks.memory")

for module in MEASUREMENTS:
    print(f"\n{module}", flush=True)
    subprocess.run([sys.executable, "-m", module], check=True)
