"""The job store in Valkey or Redis: every change one Lua script, under lua/.

Start reading at store.py; scripts.py says how a script gets its arguments, by name.
"""
