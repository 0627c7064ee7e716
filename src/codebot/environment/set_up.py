"""Runs a recipe in a box: registries, no model, no secret, a time limit of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from codebot.domain.box import Exit, ExitReason, Network
from codebot.domain.environment import Recipe
from codebot.environment.set_up_signs import doubt_in, gone_in, host_in, sign_in
from codebot.sandbox.boxed import Boxed, Ended
from codebot.sandbox.output import as_text

log = structlog.get_logger(__name__)

SHELL = """
exec 2>&1 </dev/null
cd -- "./$2" || exit
if command -v bash >/dev/null; then exec bash -eo pipefail -c "$1"; fi
exec sh -ec "$1"
"""


@dataclass(frozen=True, slots=True)
class SetUpRun:
    """A recipe's script that ended: why it failed in half a sentence ("" when it did not).

    `doubt` is what may keep the tests from running all the same, "" for nothing.
    """

    why: str
    output: str
    duration: timedelta
    doubt: str = ""


async def run_recipe(
    boxed: Boxed, recipe: Recipe, *, limit: timedelta, redact: Callable[[str], str] = str
) -> SetUpRun:
    """Run a recipe's set-up in the place of `boxed`; raises `SandboxError` where no box starts."""
    started = time.monotonic()
    ended = await boxed.run(
        "/bin/sh", "-c", SHELL, "sh", recipe.setup, recipe.path,
        limit=limit,
        network=Network.REGISTRIES,
        env=recipe.variables,
        path=recipe.search_path(boxed.paths),
    )  # fmt: skip
    output = as_text(ended.tail, ended.cut, redact)
    why = _why(ended, limit)
    doubt = doubt_in(output)
    sign = (gone_in(output) or host_in(output) or doubt or sign_in(output)) if why else ""
    run = SetUpRun(
        why=f"{why}: {sign}" if sign else why,
        output=output,
        duration=timedelta(seconds=time.monotonic() - started),
        doubt=doubt,
    )
    seconds = round(run.duration.total_seconds(), 1)
    log.info("set_up.ran", source=recipe.source, seconds=seconds, failure=run.why)
    return run


def _why(ended: Ended, limit: timedelta) -> str:
    match ended.exit:
        case Exit(ExitReason.EXITED, 0):
            return ""
        case Exit(ExitReason.EXITED, code):
            return f"ended with exit code {code}"
        case Exit(ExitReason.TIMEOUT, _):
            seconds = round(limit.total_seconds())
            return f"did not end within {seconds} seconds (CODEBOT_SETUP_TIMEOUT)"
        case Exit(ExitReason.OUTPUT, _):
            return "printed more than is allowed"
        case Exit(reason, _):
            return f"was stopped ({reason.value})"
