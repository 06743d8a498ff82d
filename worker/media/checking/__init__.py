"""A result beside its input: what was kept and what was not."""
