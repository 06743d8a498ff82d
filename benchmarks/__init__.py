"""Measurements: `make bench`, or `python -m benchmarks [--quick]`, writes RESULTS.md.

steps      one frame: the loop that others run, our models, our peers; pipeline, pictures and memory are of
           the whole: file to file, over HTTP, and what a worker holds
gpu        what a CUDA device does; needs no more than torch, numpy, OpenCV and safetensors
api        what one API process takes, with keys and without; uploads cuts large ones on their way; both alone
auto       how well `model=auto` chooses, on clips whose truth is known; by itself alone

Each runs alone too: `python -m benchmarks.steps --help`. loops.py, peak.py, contenders.py are what
steps.py times, plot.py draws it; shared/ is what they stand on.
"""
