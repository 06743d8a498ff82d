"""Webhooks: telling a job's sender how it ended. Start reading at delivering.py."""
