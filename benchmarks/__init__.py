"""Measurements: `make bench`, or `python -m benchmarks [--quick]`, writes RESULTS.md.

steps      one frame: the loop that others run, our models, our peers; pipeline, pictures and memory are of
           the whole: file to file, over HTTP, and what a worker holds
gpu        what a CUDA device does; needs no more than torch, numpy, OpenCV and safetensors (gpu_*.py)
api        what one API process takes, with keys and without; uploads cuts large ones on their way; both alone
auto       how well `model=auto` chooses, on clips whose truth is known; by itself alone (auto_*.py)

Each of these runs alone too: `python -m benchmarks.steps --help`. What they share: rounds.py takes cases in
turn, loops.py and peak.py are what steps.py times, texture.py the frames, service.py a service to ask,
command.py a command that tells its report; markdown.py, plot.py and machine.py are of the page.
"""
