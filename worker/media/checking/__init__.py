"""A result beside its input: what was kept and what was not.

Start reading at verify.py. Reads and compares; writes nothing.
"""
