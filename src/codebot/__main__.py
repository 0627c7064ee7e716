"""`python -m codebot` is `codebot`."""

import sys

from codebot.cli import main

if __name__ == "__main__":
    sys.exit(main())
