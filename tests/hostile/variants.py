"""As whom boxes are tried: root, who drops to another user for each task, and an ordinary user."""

import json
import os
import secrets
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
NOBODY_YET = 54321
"""A user that exists nowhere, and owns nothing."""

USERS: Mapping[str, int | None] = (
    {"root": 0, "ordinary user": NOBODY_YET} if os.geteuid() == 0 else {"ordinary user": None}
)
"""By name, the uid to become; None is whoever runs the tests, and then there is no root to try."""


@dataclass(frozen=True)
class Variant:
    """A service that runs as some user and starts boxes to order."""

    user: str
    process: subprocess.Popen[str]
    told: Mapping[str, Any]
    """The first line: about the host, and what the attempts did outside."""

    def ask(self, order: str, **words: Any) -> dict[str, Any]:
        """Have an order carried out."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": order, "with": words}) + "\n")
        self.process.stdin.flush()
        return answer(self.process)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    assert line, f"the service of the test is gone: {process.wait()}"
    told: dict[str, Any] = json.loads(line)
    return told


@contextmanager
def open_variant(user: str) -> Iterator[Variant]:
    """Give a service of this user, in a network of its own where it takes root to make one."""
    uid = USERS[user]
    command = [sys.executable, str(HERE / "boxes.py"), f"host{secrets.token_hex(8)}"]
    if uid is not None:
        enter = [sys.executable, "-ISs", str(HERE / "enter.py"), str(uid)]
        command = [*enter, *needed(), "--", *command, "own-network"]
    env = {
        "CANARY": f"canary-{secrets.token_hex(12)}",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, cwd="/", stdin=pipe, stdout=pipe, text=True) as process:
        yield Variant(user, process, answer(process))
    assert process.returncode == 0


def needed() -> list[str]:
    """Give the folders that the service of a test must be able to read."""
    python = {sys.prefix, sys.base_prefix, *(sysconfig.get_paths()[key] for key in ("stdlib",))}
    folders = [*python, str(CHECKOUT)]
    return [folder for folder in folders if not folder.startswith("/usr")]
