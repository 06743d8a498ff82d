"""What a CUDA device does: steps of the engine, steps and loader of trainings. Start at __main__.py.

Runs where there is no more than torch, numpy, OpenCV and safetensors, so of shared/ it knows tables alone.
"""
