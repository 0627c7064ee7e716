"""Logs: one line per event on one stream, every known secret masked in the finished line.

Code logs with `structlog.get_logger(__name__)`; task and run ids come from
`structlog.contextvars.bound_contextvars`. Libraries that use the standard `logging` (uvicorn,
httpx, Alembic) end up in the same lines.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import structlog
from structlog.typing import Processor, WrappedLogger

from codebot.telemetry.style import LogFormat, LogLevel

Redact = Callable[[str], str]


QUIET = ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "httpcore", "alembic", "asyncio")
"""Libraries whose ordinary news is noise here: they are heard from `warning` on."""


def configure(*, level: LogLevel, format: LogFormat, redactor: Redact, stream: TextIO) -> None:  # noqa: A002 - the word that people use
    """Send every log line of this process to `stream`, with the known secrets masked."""
    console = format is LogFormat.CONSOLE or (format is LogFormat.AUTO and stream.isatty())
    finish = _finish(_console(stream) if console else _json_lines(), redactor)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_shared(), *finish],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    _adopt_standard_logging(threshold, finish, stream)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _console(stream: TextIO) -> list[Processor]:
    """Values are shown as `repr`, so that no text from outside can steer the terminal."""
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            repr_native_str=True,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def _json_lines() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _finish(render: list[Processor], redact: Redact) -> list[Processor]:
    """Mask as the very last thing, over the whole rendered line with its traceback."""

    def mask(_logger: WrappedLogger, _name: str, line: Any) -> str:  # noqa: ANN401 - rendered by now
        return redact(line)

    return [*render, mask]


def _adopt_standard_logging(threshold: int, finish: Iterable[Processor], stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
