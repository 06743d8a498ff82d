"""What is minimised: pure functions of tensors, and the networks that some of them look through.

Weighed in run/step.py. Of training it imports the config and the linear degradations.
"""
