"""The steps of a video, of a picture and of an estimate, and what one segment hands to the next.

Start reading at plan.py, then segment.py, assemble.py. The runner, a floor up, calls them under a lease.
"""
