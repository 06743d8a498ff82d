"""What makes a worker a process and keeps it alive: start, Celery's tasks, liveness, scratch space.

It imports the job's room; nothing imports it.
"""
