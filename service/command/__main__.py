"""`python -m service.command`: the same as `upscaled`."""

import sys

from service.command.main import main

if __name__ == "__main__":
    sys.exit(main())
