"""A training from its first step to its last: the loop, a step, state, journal, validation.

Start reading at train.py.
"""
