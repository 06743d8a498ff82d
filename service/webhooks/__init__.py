"""Webhooks: telling a job's sender how it ended.

Start reading at delivering.py. Knows no HTTP routes; which addresses may be called, outgoing.py says.
"""
