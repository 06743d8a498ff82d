"""Animated pictures (GIF, WebP, APNG): read by Pillow, written frame by frame in bounded memory."""
