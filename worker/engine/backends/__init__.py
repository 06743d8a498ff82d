"""What runs a batch: one module a runtime, and what a runtime is made and chosen by.

Start reading at base.py. Knows no streams and no threads of its own.
"""
