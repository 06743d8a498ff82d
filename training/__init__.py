"""Makes checkpoints. Nothing that serves traffic imports it."""
