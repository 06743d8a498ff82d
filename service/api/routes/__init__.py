"""What the API answers: a module for each kind of thing asked for. app.py puts them together."""
