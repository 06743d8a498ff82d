"""Animated pictures (GIF, WebP, APNG): read by Pillow, written frame by frame in bounded memory.

Start reading at reading.py. Between reading and writing they are videos.
"""
