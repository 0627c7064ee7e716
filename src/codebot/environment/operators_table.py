"""Reads the operator's table from its file, once, at start."""

from collections.abc import Mapping
from pathlib import Path

from codebot.environment.recipes.operators import read_operators_table
from codebot.environment.recipes.reading import LONGEST_TEXT
from codebot.environment.recipes.written import Written
from codebot.errors import ConfigError


def read_environments(file: Path | None) -> Mapping[str, Written]:
    """Give what the operator says of repositories; raises `ConfigError` with every problem."""
    if file is None:
        return {}
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_TEXT * 4 + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = type(exc).__name__
        raise ConfigError((f"CODEBOT_ENVIRONMENTS: {file} cannot be read ({reason}).",)) from None
    found, problems = read_operators_table(text)
    if problems:
        raise ConfigError(tuple(f"CODEBOT_ENVIRONMENTS: {file}: {words}." for words in problems))
    return found
