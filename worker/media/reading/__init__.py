"""From a video file to frames, times and tracks.

Start reading at probe.py, then timeline.py and decode.py. Runs in the processes of sandbox/.
"""
