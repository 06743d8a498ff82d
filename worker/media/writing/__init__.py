"""From frames, times and tracks to a file."""
