"""Networks, recurrence and checkpoints. Imports nothing of ours."""
