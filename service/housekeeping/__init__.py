"""What every API process does beside serving: deliver again, rebuild, expire.

Start reading at sweeper.py. Uses jobs, objects and the queue; only the API's application starts it.
"""
