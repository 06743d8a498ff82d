"""Who may use the API: keys, and the commands that make them. Knows no HTTP. Start reading at keys.py."""
