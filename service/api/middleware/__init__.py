"""What every request passes before its route, and its answer after: ASGI, so that streams stay streams."""
