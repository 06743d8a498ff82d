"""Whole objects under keys: in a folder, or in S3. What a key means: jobs/keys.py and published.py.

Start reading at base.py. Knows no jobs and no HTTP.
"""
