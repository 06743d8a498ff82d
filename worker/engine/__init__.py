"""Batched recurrent super-resolution of many streams on one device.

Start reading at engine.py. Knows neither jobs nor media.
"""
