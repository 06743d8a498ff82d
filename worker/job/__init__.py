"""The three steps of a job, and what keeps one of them going: lease, feeder, handover, preview.

Start reading at steps.py. Joins media and engine, which know neither jobs nor each other.
"""
