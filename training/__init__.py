"""Makes checkpoints. Nothing that serves traffic imports it.

Start reading at run/train.py. Of service it uses the storage.
"""
