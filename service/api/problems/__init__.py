"""Every error as an answer that programs and people can act on (RFC 9457).

Start reading at answering.py. Knows no routes, no jobs and no callers.
"""
