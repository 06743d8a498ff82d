"""The job store in this process's memory, for work without a server, and for tests.

Start reading at store.py. By the same rules as redis/, which one contract suite holds both to.
"""
