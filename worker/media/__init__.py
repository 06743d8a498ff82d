"""Containers, codecs, colour and pictures.

What rooms share lies here: types.py, colour.py, sizes.py. Knows neither jobs nor networks.
"""
