"""Still pictures: what one is, read by Pillow, written by Pillow, or by FFmpeg where it is deep.

Start reading at picture.py. Knows no videos.
"""
