"""What `codebot doctor` asks the parts, made for the question and closed again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send

from codebot.app.agents import make_agent
from codebot.app.boxes import make_sandbox
from codebot.app.forges import open_github
from codebot.app.ground import try_ground
from codebot.app.way_out import open_way_out
from codebot.domain.egress import Access
from codebot.domain.ports import Finding
from codebot.domain.task import TaskId
from codebot.environment.operators_table import read_environments
from codebot.errors import ConfigError, SandboxUnavailable
from codebot.gateway.egress.service import BoxEgress
from codebot.sandbox.held_folder import held_folder
from codebot.settings import Settings
from codebot.telemetry.redaction import Redactor

MEND_TABLE = "What its keys may be, docs/howto/get-tested.md says."


async def check_parts(settings: Settings) -> list[Finding]:
    """Ask the agent, the sandbox and GitHub what they find; nothing is stored or left open."""
    findings = [*await make_agent(settings).check(), *await _try_sandbox(settings)]
    findings += environments_found(settings)
    github = open_github(settings, Redactor())
    if github is None:
        return findings
    try:
        return [*findings, *await github.check()]
    finally:
        await github.close()


def environments_found(settings: Settings) -> Iterator[Finding]:
    """Read the operator's table as a start does, which a mistake in it prevents."""
    if settings.environments is None:
        return
    try:
        found = read_environments(settings.environments)
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("environments", ok=False, detail=problem, remedy=MEND_TABLE)
    else:
        count = f"{len(found)} {'repository' if len(found) == 1 else 'repositories'}"
        yield Finding("environments", ok=True, detail=f"{settings.environments}: {count}")


async def _try_sandbox(settings: Settings) -> Sequence[Finding]:
    """Try the sandbox that the settings ask for; boxes of the trial reach nothing.

    No control group is divided for it: a service that systemd starts after this in the same group
    could not enter it any more. Nor is the service's authority made, whoever asks first.
    """
    try:
        with held_folder("codebot-doctor-") as folder:
            own = replace(settings, data_dir=folder)
            return await _try_with(settings, open_way_out(own, _no_model, _no_record))
    except SandboxUnavailable as missing:
        return [Finding("sandbox", ok=False, detail=missing.detail, remedy=missing.hint)]
    except OSError as error:
        return [Finding("sandbox", ok=False, detail=f"It cannot be tried: {error}.")]


async def _try_with(settings: Settings, egress: BoxEgress) -> Sequence[Finding]:
    try:
        sandbox = make_sandbox(settings, egress, None)
        return [*await sandbox.check(), await try_ground(settings, sandbox)]
    finally:
        await egress.close()


def _no_model(_: TaskId) -> ASGIApp:
    return _nothing_here


def _no_record(_: TaskId, __: Access) -> None:
    pass


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})
