"""Which jobs a caller sees, and what of them: in answers, lists, events and webhooks.

Start reading at views.py. Changes nothing; whose a job is, callers.py says.
"""
