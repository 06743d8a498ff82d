"""How an upload is read: as a stream, from the form, by its first bytes.

Start reading at reading.py. Knows no jobs.
"""
