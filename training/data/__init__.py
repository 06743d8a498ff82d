"""What is learned from: files, shots, camera paths, and the batches that are drawn from them.

Start reading at sampler.py. Of training it imports the degradations and the config.
"""
