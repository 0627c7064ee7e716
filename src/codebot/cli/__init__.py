"""The command line: flags in, words and an exit code out.

`parser.py` says what can be typed, `call.py` what every command begins with, and the others do what
was asked. Everything heavy is imported when a command needs it, so that `--help` is instant.
"""

from codebot.cli.entry import main

__all__ = ["main"]
