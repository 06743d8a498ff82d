"""What the API answers: a module for each kind of thing asked for.

app.py puts them together; jobs.py finds the job that others are about, pieces.py the upload.
"""
