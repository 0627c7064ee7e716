"""Starts a node quickly: it is forked by a process that has loaded Codebot's modules already.

To load them is most of what a start costs. Whatever the node does from its command line on is the
same. Starts that are a test's subject are real ones: `fakes.service.start_process`.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import TimeoutExpired
from types import MappingProxyType

from fakes import crashing, small_disk

MODULES = (
    *("codebot.cli.entry", "codebot.app.serve", "codebot.app.worker", "codebot.sandbox.canary"),
    *("codebot.queue.procrastinate", "codebot.store.postgres.opening", "anyio._backends._asyncio"),
    *("markdown_it", "detect_secrets.plugins.aws", "pydantic.dataclasses", "dotenv"),
)
"""What `codebot serve` and `codebot worker` load, and what their first task does."""

NO_NUMBER = -1
"""Of a process: while there is none."""


class Preloaded:
    """A node's process, as `subprocess.Popen` shows one."""

    def __init__(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        """Have it forked: it works in `folder`, prints into the files stdout and stderr there."""
        self.args = list(arguments)
        self._process = SERVER.Process(target=_run, args=(self.args, str(folder), dict(env)))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or NO_NUMBER

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        if self.poll() is None:
            self._process.kill()


def _run(arguments: list[str], folder: str, env: Mapping[str, str]) -> None:
    """Be what `codebot` is: nothing of whoever forked it but the modules."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for name, number in _STREAMS.items():
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["codebot", *arguments]
    small_disk.arrange(env)
    if crashing.VARIABLE in env:
        crashing.arm(Path(env[crashing.VARIABLE]))

    from codebot.cli import main

    sys.exit(main())


_STREAMS = MappingProxyType({"stdout": 1, "stderr": 2})
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["__main__", *MODULES])
