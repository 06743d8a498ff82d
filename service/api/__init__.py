"""HTTP: what is asked, what is answered, and nothing else.

Start reading at app.py. Whatever outlives a request is done by other rooms of service.
"""
