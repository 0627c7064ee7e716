"""Runs the repository's tests in a box, in a place that no agent has touched."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from codebot.domain.box import Network
from codebot.domain.environment import Environment, TestCommand
from codebot.sandbox.boxed import Boxed
from codebot.sandbox.output import as_text, cleaned
from codebot.verify.printed import read_printed
from codebot.verify.results import Questionnaire, fuller
from codebot.verify.verdict import TestRun

log = structlog.get_logger(__name__)

SHELL = """
exec 2>&1
cd -- "./$2" || exit
if command -v bash >/dev/null; then exec bash -eo pipefail -c "$1"; fi
exec sh -ec "$1"
"""
"""Runs a command as CI services do: the first failure counts. Without that, `pytest | tee log`
and `pytest; ruff check` would pass with failing tests. stderr joins stdout, in order."""


async def run_tests(
    boxed: Boxed,
    command: TestCommand,
    environment: Environment,
    *,
    limit: timedelta,
    redact: Callable[[str], str] = str,
) -> TestRun:
    """Run the command to its end in the place of `boxed`, with what the environment adds.

    `redact` masks secrets in what the tests print. Raises `SandboxError`.
    """
    asked = Questionnaire()
    started = time.monotonic()
    ended = await boxed.run(
        "/bin/sh", "-c", SHELL, "sh", command.command, environment.path,
        limit=limit,
        network=Network.REGISTRIES,
        env={**environment.variables, **asked.variables(boxed.paths.home, environment.variables)},
        path=environment.search_path(boxed.paths),
    )  # fmt: skip
    told = await asyncio.to_thread(asked.read, boxed.checkout.home)
    results = fuller(told, None if ended.cut else read_printed(cleaned(ended.tail)))
    run = TestRun(
        command=command,
        exit=ended.exit,
        duration=timedelta(seconds=time.monotonic() - started),
        output=as_text(ended.tail, ended.cut, redact),
        results=None if results is None else results.masked(redact),
    )
    log.info("tests.ran", exit_code=run.code, tests=run.results.count if run.results else None)
    return run
