"""The service's side of the warden: it learns at once when the service is gone."""

import os
import secrets
import subprocess
import sys
import weakref
from functools import cached_property
from importlib.resources import files

WARDEN = str(files("codebot.sandbox").joinpath("warden.py"))
NAME = "CODEBOT_BORN"
"""Of the variable by which it knows what this very process has started, while it is a bwrap."""


class Guard:
    """A warden for whatever is started with `environment`, as long as this object lives."""

    def __init__(self) -> None:
        """Choose by what the warden knows its own: no other service, before or after, has it."""
        self._variable = f"{NAME}={secrets.token_hex(8)}"

    @cached_property
    def environment(self) -> dict[str, str]:
        """Give what to start bwrap with; from the first time on, the warden is there."""
        reader, writer = os.pipe()
        try:
            subprocess.run(  # noqa: S603 - a program of our own
                [sys.executable, "-ISs", WARDEN, self._variable],
                stdin=reader,
                stdout=subprocess.DEVNULL,  # or whoever reads the service's would wait for it
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                check=True,
            )
        finally:
            os.close(reader)
        weakref.finalize(self, _dismiss, writer)
        name, _, value = self._variable.partition("=")
        return {name: value}


def _dismiss(writer: int) -> None:
    os.write(writer, b".")
    os.close(writer)
