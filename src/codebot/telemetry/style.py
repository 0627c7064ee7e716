"""How much is logged, and how: words that settings need without the weight of a logger."""

from enum import StrEnum


class LogFormat(StrEnum):
    """How a line is written: for people, for machines, or by what the stream is."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """From which severity on a line is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
