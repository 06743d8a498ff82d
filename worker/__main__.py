"""`python -m worker`: see main.py."""

import sys

from worker.process.main import run

sys.exit(run())
