"""Benchmarks and pictures: the frozen protocol, metrics, crops beside the truth.

Knows networks and clips, and nothing of how weights came about but where they lie.
"""
