"""The operator's table: a TOML file with one table for each repository, by its `owner/name`."""

import re
from collections.abc import Mapping
from typing import Any

from codebot.domain.environment import RecipeOrigin
from codebot.environment.recipes.reading import Unreadable, read_toml
from codebot.environment.recipes.written import Table, Written, read_written

SOURCE = "the operator's table"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def read_operators_table(text: str) -> tuple[Mapping[str, Written], list[str]]:
    """Give what is written by repository, its name in lower case; and every problem."""
    try:
        tables = read_toml(text)
    except Unreadable as exc:
        return {}, [str(exc)]
    found: dict[str, Written] = {}
    problems: list[str] = []
    for name, values in tables.items():
        wrong = _read(name, values, text, found)
        problems += [f'["{name}"] {words}' for words in wrong]
    return found, problems


def _read(name: str, values: Any, text: str, found: dict[str, Written]) -> list[str]:  # noqa: ANN401 - TOML
    if not _REPOSITORY.fullmatch(name) or not isinstance(values, dict):
        return ['must be a table by the name of a repository: ["owner/name"]']
    table = Table(values, text, header=name)
    found[name.lower()], problems = read_written(table, RecipeOrigin.OPERATOR, SOURCE)
    return problems
