"""What several measurements stand on, and none of them.

rounds.py takes cases in turn, texture.py makes the frames, service.py runs a service to ask, command.py a
command that tells its report; markdown.py and machine.py write the page.
"""
