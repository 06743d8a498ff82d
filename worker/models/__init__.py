"""Models by name and version: loaded, gated, swapped, lent, imported.

Start reading at registry.py. Knows no jobs and no media.
"""
