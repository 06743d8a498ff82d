"""Containers, codecs, colour and pictures. Knows neither jobs nor networks."""
