"""Who may use the API: keys, and the commands that make them.

Start reading at keys.py. Knows no HTTP.
"""
