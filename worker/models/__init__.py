"""Models by name and version: loaded, gated, swapped, lent, imported. Knows no jobs and no media."""
