"""Uploads that come in pieces, from their beginning until a job is made of them or they expire.

Start reading at records.py. Knows no HTTP: the protocol is in service/api/routes/pieces.py.
"""
