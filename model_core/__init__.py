"""Networks, recurrence and the checkpoint format, for training, serving and tests alike.

Start reading at recurrence.py. Imports nothing of ours, reads no environment, opens no connection.
"""
