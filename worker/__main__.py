"""`python -m worker`: see main.py."""

import sys

from worker.main import run

sys.exit(run())
