"""Celery tasks and everything that turns bytes into bigger bytes.

Start reading at job/runner.py. Knows no HTTP.
"""
