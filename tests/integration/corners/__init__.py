"""Inputs as the world makes them, for test_odd_corners.py: one function a file."""
