"""How well `model=auto` chooses, on clips whose truth is known. Start at __main__.py.

inputs.py spoils them in known ways, page.py makes the tables of docs/models.md.
"""
