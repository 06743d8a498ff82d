"""From a file to frames, times and tracks."""
