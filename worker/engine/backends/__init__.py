"""What runs a batch: one module a runtime."""
