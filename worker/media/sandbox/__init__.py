"""Reads media in processes of their own, where a decoder that breaks, hangs or is taken over does no harm.

Start reading at reading.py. What it reads with are the rooms beside it.
"""
