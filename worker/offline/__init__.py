"""Work without a server: the same plan, segments and assembly in one process, for the command line.

It may use every room but process.
"""
