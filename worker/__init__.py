"""Celery tasks and everything that turns bytes into bigger bytes."""
