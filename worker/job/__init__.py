"""The steps of a video, the one of a picture, and what keeps them going: lease, feeder, handover, preview.

Start reading at steps.py. Joins media and engine, which know neither jobs nor each other.
"""
