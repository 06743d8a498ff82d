"""What every request passes before its route, and its answer after: ASGI, so that streams stay streams.

app.py puts them in order. Knows no routes.
"""
