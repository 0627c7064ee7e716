"""Runs the repository's tests in a box, on exactly the commit that was collected."""

import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from codebot.domain.box import Network
from codebot.domain.outcome import Change, Checkout, Verdict
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.errors import VerifyError
from codebot.verify.boxed import Boxed
from codebot.verify.command import TestCommand
from codebot.verify.output import as_text
from codebot.verify.tree_state import TreeState, look_at_tree
from codebot.verify.verdict import TestRun, judge, not_verified

log = structlog.get_logger(__name__)

SHELL = """
exec 2>&1
if command -v bash >/dev/null; then exec bash -eo pipefail -c "$1"; fi
exec sh -ec "$1"
"""
"""Runs a command as CI services do: the first failure counts. Without that, `pytest | tee log`
and `pytest; ruff check` would pass with failing tests. stderr joins stdout, in order."""

MOST_LEFTOVERS = 100

BYTECODE = "__pycache__"
"""Python's own leftovers. It reads nothing there but what belongs to a source that lies beside it,
so they help nobody's tests; to forbid them would be an opinion that some tests are about."""


async def run_tests(
    sandbox: Sandbox,
    task_id: TaskId,
    checkout: Checkout,
    change: Change,
    command: TestCommand | None,
    timeout: timedelta,  # noqa: ASYNC109 - the box keeps the time, not this coroutine
    redact: Callable[[str], str] = str,
) -> Verdict:
    """Give the verdict of `command` on the change, in the tree that the agent left.

    `redact` masks secrets in what the tests print, and in the names of what they leave behind.
    Raises `VerifyError` when the tree is not at the collected commit, so that what was tested is
    what is published, and `SandboxError`. A change without a test command is not verified.
    """
    if command is None:
        return not_verified(change.tip_commit)
    boxed = Boxed(sandbox, task_id, checkout)
    before = await look_at_tree(boxed)
    if before.commit != change.agent_commit:
        raise VerifyError(
            f"The tree is at {before.commit or 'no commit'}, not at {change.agent_commit} "
            "that was collected, so its tests would prove nothing."
        )
    started = time.monotonic()
    ended = await boxed.run(
        "/bin/sh", "-c", SHELL, "sh", command.command,
        limit=timeout, network=Network.REGISTRIES,
    )  # fmt: skip
    run = TestRun(
        command=command,
        exit=ended.exit,
        duration=timedelta(seconds=time.monotonic() - started),
        output=as_text(ended.tail, ended.cut, redact),
        commit=change.tip_commit,  # the same content, under the name that the world can see
        leftovers=[redact(path) for path in _leftovers(before, await look_at_tree(boxed))],
    )
    verdict = judge(run)
    log.info("tests.finished", state=verdict.state.value, exit_code=verdict.exit_code)
    return verdict


def _leftovers(before: TreeState, after: TreeState) -> list[str]:
    """Name what lay beside the commit: what was there may have helped, what came may matter."""
    unreadable = [] if after.commit else [".git"]
    named = {path for path in (*before.files, *after.files) if BYTECODE not in path.split("/")}
    return sorted({*named, *unreadable})[:MOST_LEFTOVERS]
