"""The operator's table: a TOML file with one table for each repository, by its `owner/name`.

A repository on this machine goes by its folder.
"""

import re
from collections.abc import Mapping
from typing import Any

from codebot.domain.environment import RecipeOrigin
from codebot.domain.repository import Repository
from codebot.environment.recipes.reading import Unreadable, read_toml
from codebot.environment.recipes.written import Table, Written, read_written

SOURCE = "the operator's table"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+|/.*")


def read_operators_table(text: str) -> tuple[Mapping[str, Written], list[str]]:
    """Give what is written, to be asked by `find_in_table`; and every problem."""
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
        return ['must be a table by the name of a repository: ["owner/name"], or ["/its/folder"]']
    table = Table(values, text, header=name)
    found[_as_key(name)], problems = read_written(table, RecipeOrigin.OPERATOR, SOURCE)
    return problems


def find_in_table(table: Mapping[str, Written], repository: Repository) -> Written | None:
    """Give what the operator says of a repository, None where that is nothing."""
    return table.get(repository.url) or table.get(_as_key(repository.full_name))


def _as_key(name: str) -> str:
    return name.rstrip("/") if name.startswith("/") else name.lower()
