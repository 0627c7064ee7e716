"""A process of a test that ends with it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Kill this when the block ends, however it does: a plain `with` waits, maybe for ever."""
    with process:
        try:
            yield process
        finally:
            process.kill()
