"""One call of a command, and what every command does first: read settings, begin to log."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codebot.settings import Command, Reading, Settings, environment, read_settings
from codebot.settings.table import BY_FLAG
from codebot.telemetry.redaction import Redactor
from codebot.telemetry.style import LogLevel

DONE, FAILED, USAGE, CONFIGURATION, INTERRUPTED = 0, 1, 2, 78, 130


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: what was typed, and the secrets known so far."""

    arguments: argparse.Namespace
    argv: Sequence[str]
    redactor: Redactor


def start(call: Call, need: Command) -> Settings:
    """Give the settings a command needs, and begin to log as they say."""
    settings = read(call, need).checked()

    import structlog

    from codebot.telemetry.log import configure

    configure(
        level=_log_level(call.arguments, settings, need),
        format=settings.log_format,
        redactor=call.redactor,
        stream=sys.stderr,
    )
    for doubt in (*settings.warnings, *_visible(call.arguments)):
        structlog.get_logger(__name__).warning("settings.doubtful", detail=doubt)
        if _is_quiet(call.arguments, need):
            print(call.redactor(f"codebot: {doubt}"), file=sys.stderr)
    return settings


def read(call: Call, need: Command) -> Reading:
    """Give the settings as far as they can be read, with every problem."""
    given = vars(call.arguments)
    flags = {flag: given.get(_destination(flag)) for flag in BY_FLAG}
    return read_settings(
        environment(),
        flags={flag: text for flag, text in flags.items() if text is not None},
        dotenv_dir=Path.cwd(),
        need=need,
        redactor=call.redactor,
    )


def _log_level(arguments: argparse.Namespace, settings: Settings, need: Command) -> LogLevel:
    """`--debug` shows everything; `run` shows its progress instead of a log, unless verbose."""
    if arguments.debug:
        return LogLevel.DEBUG
    return LogLevel.ERROR if _is_quiet(arguments, need) else settings.log_level


def _is_quiet(arguments: argparse.Namespace, need: Command) -> bool:
    return need is Command.RUN and not (arguments.verbose or arguments.debug)


def _visible(arguments: argparse.Namespace) -> list[str]:
    """Warn of secrets that every user of the machine can read in the list of processes."""
    given = vars(arguments)
    return [
        f"{flag} shows its value to every user of this machine; use {BY_FLAG[flag].name}_FILE."
        for flag in BY_FLAG
        if BY_FLAG[flag].secret and given.get(_destination(flag)) is not None
    ]


def _destination(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
