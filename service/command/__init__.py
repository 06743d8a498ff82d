"""The command `upscaled`: what the packages register under it, arguments that several of them take, errors.

Start reading at main.py. Knows neither torch nor PyAV, and no package that registers commands.
"""
