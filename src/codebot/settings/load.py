"""From text to `Settings`, with every problem found at once."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codebot.errors import ConfigError
from codebot.settings import parse
from codebot.settings.files import is_telling, looks_like_secret
from codebot.settings.github import read_github
from codebot.settings.model import Command, GitHubSettings, Settings
from codebot.settings.sources import Given, Sources, read_sources
from codebot.settings.table import BY_NAME, SETTINGS
from codebot.telemetry.redaction import Redactor

SHORT_KEY = 12
"""Below this many characters an API key can be guessed in time."""

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings as far as they could be read, and every problem: what could not be is default."""

    settings: Settings
    problems: tuple[str, ...]

    def checked(self) -> Settings:
        """Give the settings; raises `ConfigError` naming every problem."""
        if self.problems:
            raise ConfigError(self.problems)
        return self.settings


def load_settings(
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, str],
    dotenv_dir: Path,
    need: Command,
    redactor: Redactor,
) -> Settings:
    """Give the settings that a command needs; raises `ConfigError` naming every problem.

    `flags` maps a flag of the command line (`--port`) to its text. Every secret is known to
    `redactor` when this returns, and when it raises.
    """
    return read_settings(
        environ, flags=flags, dotenv_dir=dotenv_dir, need=need, redactor=redactor
    ).checked()


def read_settings(
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, str],
    dotenv_dir: Path,
    need: Command,
    redactor: Redactor,
) -> Reading:
    """Give settings and problems side by side: for `doctor`, which starts with anything."""
    folder = dotenv_dir.absolute()
    sources = read_sources(environ, flags, folder, redactor)
    problems = list(sources.problems)
    values = _understand(sources.given, folder, problems)
    github = read_github(values, sources.tried, problems)
    if github.app:
        redactor.add(github.app.private_key)
    settings = _build(values, github, folder, environ.get("PATH", os.defpath), sources)
    problems += _wrong_on_disk(settings, sources.given)
    if problems:  # the quotes may be all that is wrong
        problems += sources.quoted
    problems += [*_nobody_works(need, settings), *_missing(need, sources.tried)]
    return Reading(settings, tuple(problems))


def _understand(given: Mapping[str, Given], folder: Path, problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        found = given.get(setting.name)
        if found is None:
            continue
        try:
            values[setting.name] = _absolute(setting.parse(found.text), folder)
        except ValueError as exc:
            shown = _shown(found.text) if isinstance(exc, parse.NotPlain) else ""
            problems.append(f"{found.label} {exc}{shown}.")
    return values


def _shown(text: str) -> str:
    """Show a value that is no number or word; not one that rather is a secret in a wrong place."""
    if looks_like_secret(text):
        return ""
    short = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
    return f" (it is {short!r})"


def _absolute(value: Any, folder: Path) -> Any:  # noqa: ANN401 - any setting's value
    """Make a path absolute, seen from the working directory; anything else stays."""
    if isinstance(value, Path):
        return Path(os.path.normpath(folder / value))
    if isinstance(value, tuple):
        return tuple(_absolute(item, folder) for item in value)
    return value


def _build(
    values: Mapping[str, Any], github: GitHubSettings, folder: Path, path: str, sources: Sources
) -> Settings:
    fields = {
        setting.field: values[setting.name]
        if setting.name in values
        else _absolute(setting.parse(setting.default), folder)
        for setting in SETTINGS
        if setting.field and (setting.name in values or setting.default)
    }
    fields.setdefault("database", fields["data_dir"] / "codebot.sqlite3")
    return Settings(
        **fields,
        github=github,
        proxies=_proxies(values),
        path=path,
        warnings=(*sources.warnings, *_doubts(values)),
    )


def _proxies(values: Mapping[str, Any]) -> dict[str, str]:
    """Give the proxy of each scheme: its own, or the one for all."""
    every = values.get("ALL_PROXY")
    found = {name: values.get(name, every) for name in ("HTTPS_PROXY", "HTTP_PROXY")}
    found["NO_PROXY"] = values.get("NO_PROXY")
    return {name: value for name, value in found.items() if value}


def _doubts(values: Mapping[str, Any]) -> list[str]:
    """Say what is set and does nothing, and what is set and is risky."""
    doubts = [
        f"{name} has no effect yet: it waits for {BY_NAME[name].later}."
        for name in values
        if BY_NAME[name].later
    ]
    short = sum(len(key.reveal()) < SHORT_KEY for key in values.get("CODEBOT_API_KEYS", ()))
    if short:
        doubts.append(
            f"{short} of the API keys can be guessed: use at least {SHORT_KEY} random characters."
        )
    for winner, loser in (
        ("GITHUB_APP_ID", "GITHUB_TOKEN"),
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    ):
        if winner in values and loser in values:
            doubts.append(f"{loser} has no effect: {winner} is set, too, and goes first.")
    return doubts


def _wrong_on_disk(settings: Settings, given: Mapping[str, Given]) -> list[str]:
    """Look at what the settings point to; nothing is made here."""
    return [
        f"{name} names {_named(path, given.get(name))}, which is not {lack}."
        for name, path, lack in _unusable(settings)
    ]


def _unusable(settings: Settings) -> Iterator[tuple[str, Path, str]]:
    """Give what cannot be used as it is meant: its setting, itself, and what it is not."""
    script = settings.anthropic_base_url
    for name, file, mode, use in (
        ("SSL_CERT_FILE", settings.certificate_file, os.R_OK, "read"),
        ("CODEBOT_CLAUDE_BIN", settings.claude_bin, os.X_OK, "executed"),
        ("CODEBOT_ENVIRONMENTS", settings.environments, os.R_OK, "read"),
        ("ANTHROPIC_BASE_URL", script if isinstance(script, Path) else None, os.R_OK, "read"),
    ):
        if file and not (_holds(file.is_file) and os.access(file, mode)):
            yield name, file, f"a file that can be {use}"
    for folder in settings.local_repos:
        if not _holds(folder.is_dir):
            yield "CODEBOT_LOCAL_REPOS", folder, "a directory"
    for folder in settings.sandbox_paths:
        if not _holds(folder.exists):
            yield "CODEBOT_SANDBOX_PATHS", folder, "there"
    for name, folder in (
        ("CODEBOT_DATA_DIR", settings.data_dir),
        ("CODEBOT_WORK_DIR", settings.work_dir),
    ):
        if _holds(folder.exists) and not _holds(folder.is_dir):
            yield name, folder, "a directory"


def _named(path: Path, given: Given | None) -> str:
    """Name a path; what rather is a secret in the place of one, by that alone."""
    texts = (*path.parts, *([given.text] if given else []))
    return "what looks like a secret" if any(map(is_telling, texts)) else str(path)


def _holds(question: Callable[[], bool]) -> bool:
    """Ask the disk; what this user may not look at is not there for it."""
    try:
        return question()
    except OSError:
        return False


def _nobody_works(need: Command, settings: Settings) -> Iterator[str]:
    """Say why tasks would wait for ever, or why there is nothing that nodes could share."""
    is_file = isinstance(settings.database, Path)
    if need is Command.WORKER and is_file:
        yield (
            "CODEBOT_DATABASE_URL must name a PostgreSQL database: `codebot worker` shares the one"
            " of the node that takes tasks in. On one machine, `codebot serve` does both."
        )
    if settings.workers == 0 and (need is Command.WORKER or (need is Command.SERVE and is_file)):
        yield "CODEBOT_MAX_WORKERS must be 1 or more here: there would be nobody to do the work."


def _missing(need: Command, tried: Collection[str]) -> list[str]:
    """Say what a command cannot do without; what was given but wrong is not missing, too."""
    if need not in {Command.SERVE, Command.WORKER, Command.CALL}:
        return []
    problems = []
    if need is not Command.WORKER and "CODEBOT_API_KEYS" not in tried:
        problems.append(
            "CODEBOT_API_KEYS is missing: callers need a key"
            ' (for example: export CODEBOT_API_KEYS="$(openssl rand -hex 24)").'
        )
    forges = {"GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_TOKEN", "CODEBOT_LOCAL_REPOS"}
    if need is not Command.CALL and forges.isdisjoint(tried):
        problems.append(
            "No forge is configured: set GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_PATH,"
            " or GITHUB_TOKEN, or CODEBOT_LOCAL_REPOS for repositories on this machine."
        )
    return problems
