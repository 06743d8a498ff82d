"""The HTTP side: API, jobs, storage, settings, command line.

Start reading at api/app.py. Imports neither torch nor PyAV; workers are reached by messages alone.
"""
