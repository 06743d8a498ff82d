"""`python -m benchmarks`: every measurement that this machine can make, one after the other.

Figures are of this machine and this moment; quote ratios of one run only. Each runs alone too, with options.
`benchmarks.gpu` needs a CUDA device, and no more than torch, numpy, OpenCV and safetensors.
"""

import subprocess
import sys

import torch

MEASUREMENTS = ["benchmarks.memory"]
if torch.cuda.is_available():
    MEASUREMENTS.append("benchmarks.gpu")

for module in MEASUREMENTS:
    print(f"\n{module}", flush=True)
    subprocess.run([sys.executable, "-m", module], check=True)
