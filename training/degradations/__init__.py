"""How low frames are made from true ones: the frozen protocols, BSRGAN, and what people upload.

Start reading at protocols.py. Of training it imports the config alone.
"""
