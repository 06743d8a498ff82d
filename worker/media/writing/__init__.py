"""From frames, times and tracks to a file.

Start reading at encode.py for parts, at join.py for results.
"""
