"""What must be there for Codebot to work, looked at one by one, each with how to mend it."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from codebot.domain.ports import Finding
from codebot.domain.secret import Secret
from codebot.errors import CodebotError, StoreUnavailable
from codebot.settings import Reading, Settings
from codebot.store.sqlite.faults import store_faults
from codebot.store.sqlite.file import open_to_read
from codebot.store.sqlite.soundness import require_sound
from codebot.store.upgrade import REVISION

OLDEST_GIT = (2, 34)
LEAST_DISK = 2 * 1024**3
LARGEST_CLOCK_DIFFERENCE = 2.0
"""Seconds between our clock and the database server's; who is alive is told by its clock alone."""
_GIT_TIMEOUT = 10

CheckParts = Callable[[Settings], Awaitable[Sequence[Finding]]]
"""Asks the agent, the sandbox and the forge what they find; the composition root knows them."""


async def examine(reading: Reading, check_parts: CheckParts) -> list[Finding]:
    """Give every finding, good and bad; nothing stays on disk.

    The parts are only asked where the settings could be read: they would be made of them.
    """
    settings = reading.settings
    findings = [*_settings(reading), _git(settings.path)]
    if not reading.problems:
        findings += await check_parts(settings)
    return [
        *findings,
        _model(settings),
        _forge(settings),
        _api_keys(settings),
        _webhooks(settings),
        *await _store(settings),
        _folder("data directory", settings.data_dir),
        _folder("work directory", settings.work_dir),
        _disk(settings.work_dir),
    ]


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Say whether everything that Codebot cannot work without is there."""
    return all(finding.ok for finding in findings if finding.required)


def as_line(finding: Finding) -> str:
    """Give a finding as one line, with how to mend it where that is due.

    >>> as_line(Finding("git", ok=False, detail="not found", remedy="Install git."))
    'FAIL  git: not found. Install git.'
    """
    mark = "ok  " if finding.ok else "FAIL" if finding.required else "off "
    line = f"{mark}  {finding.name}: {finding.detail}"
    return line if finding.ok or not finding.remedy else f"{line.rstrip('.')}. {finding.remedy}"


def _settings(reading: Reading) -> Iterator[Finding]:
    for problem in reading.problems:
        yield Finding("settings", ok=False, detail=problem)
    for warning in reading.settings.warnings:
        yield Finding("settings", ok=False, detail=warning, required=False)
    if not reading.problems:
        yield Finding("settings", ok=True, detail="read, every value is good")


def _git(path: str) -> Finding:
    program = shutil.which("git", path=path)
    if program is None:
        return Finding("git", ok=False, detail="not found", remedy="Install the package git.")
    said = subprocess.run(  # noqa: S603 - found on the operator's own PATH
        [program, "--version"], capture_output=True, text=True, timeout=_GIT_TIMEOUT, check=False
    ).stdout.strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    good = found is not None and (int(found[1]), int(found[2])) >= OLDEST_GIT
    remedy = f"Codebot needs git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer."
    return Finding("git", ok=good, detail=said or "says no version", remedy=remedy)


def _model(settings: Settings) -> Finding:
    if not settings.asks_a_model:
        return Finding("model", ok=True, detail="none is asked, the agent is a command")
    if isinstance(settings.anthropic_base_url, Path):
        detail = f"its turns are played from {settings.anthropic_base_url}"
        return Finding("model", ok=True, detail=detail)
    good = settings.has_model_credential
    return Finding(
        "model",
        ok=good,
        detail=f"{settings.anthropic_base_url}, {'credential set' if good else 'no credential'}",
        remedy="Set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN).",
    )


def _forge(settings: Settings) -> Finding:
    """Say where repositories may live; whether GitHub lets us in is for its own findings."""
    github = [settings.github.web_url] if settings.github.is_configured else []
    places = ", ".join([*github, *map(str, settings.local_repos)])
    remedy = (
        "`codebot serve` needs a GitHub App, or GITHUB_TOKEN, or CODEBOT_LOCAL_REPOS;"
        " `codebot run` needs none for a folder of this machine."
    )
    return Finding("forge", bool(places), places or "none is set up", remedy, required=False)


def _api_keys(settings: Settings) -> Finding:
    count = len(settings.api_keys)
    remedy = "`codebot serve` needs CODEBOT_API_KEYS; `run` and `demo` do not."
    return Finding("API keys", count > 0, f"{count} set", remedy, required=False)


def _webhooks(settings: Settings) -> Finding:
    detail = "secret set" if settings.webhook_secret else "no secret"
    remedy = "Nothing to do: webhooks are not built yet."
    return Finding("webhooks", ok=False, detail=detail, remedy=remedy, required=False)


async def _store(settings: Settings) -> list[Finding]:
    if isinstance(settings.database, Path):
        return [_file(settings.database)]
    return await _server(settings.database, settings.database_direct or settings.database)


async def _server(url: Secret, direct: Secret) -> list[Finding]:
    """Look whether the database of a server could hold the store; nothing is made there."""
    from codebot.store.postgres.probing import examine_postgres

    try:
        found = await examine_postgres(url.reveal())
    except CodebotError as error:
        return [Finding("store", ok=False, detail=error.detail, remedy=error.hint)]
    plan = found.plan
    tables = f"revision {plan.revision}" if plan.revision else "its tables are still to be made"
    detail = f"{found.database}, PostgreSQL {found.version}, {tables}"
    return [
        Finding("store", ok=True, detail=detail),
        Finding(
            "schema",
            ok=not (plan.before or plan.after),
            detail=f"{len(plan.before)} steps to add, {len(plan.after)} to take away",
            remedy="The first start adds what is missing; `codebot migrate --plan` names all.",
            required=False,
        ),
        _clock(found.clock_ahead),
        await _wake_ups(direct),
    ]


async def _wake_ups(direct: Secret) -> Finding:
    """Look whether nodes would hear from each other at once."""
    from codebot.store.postgres.probing import can_listen

    name = "wake-ups"
    try:
        hears = await can_listen(direct.reveal())
    except CodebotError as error:
        remedy = (
            "Correct CODEBOT_DATABASE_DIRECT_URL, or let this machine in there: workers look for"
            " tasks every second instead, and `codebot migrate` cannot work."
        )
        return Finding(name, ok=False, detail=error.detail, remedy=remedy, required=False)
    return Finding(
        name,
        ok=hears,
        detail="a connection stays the same" if hears else "no connection stays the same",
        remedy="A pooler in transaction mode: workers look for tasks every second instead."
        " Set CODEBOT_DATABASE_DIRECT_URL to the server itself.",
        required=False,
    )


def _clock(ahead: timedelta) -> Finding:
    seconds = ahead.total_seconds()
    word = "ahead" if seconds > 0 else "behind"
    return Finding(
        "clock",
        ok=abs(seconds) <= LARGEST_CLOCK_DIFFERENCE,
        detail=f"the database server's is {abs(seconds):.1f} s {word}",
        remedy="Let both follow the same time (NTP): times in events and lists are of either.",
        required=False,
    )


def _file(file: Path) -> Finding:
    """Read a store that is there; one that is not is made when it is first needed."""
    try:
        if not file.exists():
            return Finding("store", ok=True, detail=f"{file} will be made when first needed")
    except OSError as exc:
        remedy = f"Let this user into {file.parent}, or choose another data directory."
        return Finding("store", ok=False, detail=f"{file}: {exc.strerror}", remedy=remedy)
    try:
        revision = _revision(file)
        require_sound(file, longest=None)
    except StoreUnavailable as error:
        return Finding("store", ok=False, detail=f"{file}: {error.detail}", remedy=error.hint)
    if revision > REVISION:
        detail = f"{file} was made by a newer Codebot (revision {revision})"
        remedy = "Install that version again, or restore a backup."
        return Finding("store", ok=False, detail=detail, remedy=remedy)
    return Finding("store", ok=True, detail=str(file))


def _revision(file: Path) -> str:
    """Give the revision of the tables, "" where there are none yet; raises `StoreUnavailable`."""
    named = "select name from sqlite_master where name = 'alembic_version'"
    with store_faults(), closing(open_to_read(file)) as connection:
        if connection.execute(named).fetchone() is None:
            return ""
        found = connection.execute("select version_num from alembic_version").fetchone()
    return str(found[0]) if found else ""


def _folder(name: str, folder: Path) -> Finding:
    """Try to write: in the folder, or, while it is not there, in what it would be made in."""
    place = _existing(folder)
    remedy = f"Let this user write to {place}, or choose another directory."
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as exc:
        return Finding(name, ok=False, detail=f"{folder}: {exc.strerror}", remedy=remedy)
    return Finding(name, ok=True, detail=str(folder))


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    remedy = f"Free some: agents and tests need {LEAST_DISK // 1024**3} GiB or more."
    return Finding("disk", free >= LEAST_DISK, f"{free / 1024**3:.1f} GiB free", remedy)


def _existing(folder: Path) -> Path:
    """Give the folder itself, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))
