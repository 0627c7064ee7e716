"""What the files of one folder tell: asked by name, and "nothing" for what is broken or absurd."""

import configparser
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codebot.domain.tree import Tree
from codebot.environment.recipes.reading import Unreadable, read_json, read_toml

LONGEST_CLUE = 1024 * 1024
"""Bytes of a file that is searched, not parsed."""


@dataclass(frozen=True, slots=True)
class Clues:
    """The files of a folder and below.

    `test` is the command that runs the tests, `python` the version that is here ("3.11"), "" where
    that is not known.
    """

    tree: Tree
    test: str = ""
    python: str = ""

    def has(self, path: str) -> bool:
        """Say whether there is such a file."""
        return path in self.tree.paths

    def those(self, *paths: str) -> tuple[str, ...]:
        """Give those of the files that are there, in this order."""
        return tuple(path for path in paths if path in self.tree.paths)

    def text(self, path: str) -> str:
        """Give a file as text, "" where there is none worth reading."""
        content = self.tree.contents.get(path, b"")
        return "" if len(content) > LONGEST_CLUE else content.decode("utf-8-sig", "replace")

    def toml(self, path: str, *keys: str) -> Any:  # noqa: ANN401 - TOML
        """Give what is below these keys of a TOML file, None where the way there ends."""
        try:
            return at(read_toml(self.text(path)), *keys)
        except Unreadable:
            return None

    def json(self, path: str, *keys: str) -> Any:  # noqa: ANN401 - JSON
        """Give what is below these keys of a JSON file, None where the way there ends."""
        try:
            return at(read_json(self.text(path)), *keys)
        except Unreadable:
            return None

    def ini(self, path: str, section: str) -> dict[str, str]:
        """Give the raw entries of a section of an INI file, none where there is no such thing."""
        return ini_sections(self.text(path)).get(section, {})


def ini_sections(text: str) -> dict[str, dict[str, str]]:
    r"""Give the raw entries of each section of an INI file, none of what is no such thing.

    >>> ini_sections("[tox]\nenvlist = py\n")
    {'tox': {'envlist': 'py'}}
    """
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {
        name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()
    }


def at(value: Any, *keys: str) -> Any:  # noqa: ANN401 - data
    """Give what is below these keys, None where the way there ends.

    >>> at({"a": {"b": 1}}, "a", "b"), at({"a": []}, "a", "b")
    (1, None)
    """
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def names(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - data
    """Give the keys of a table, none of anything else."""
    return tuple(value) if isinstance(value, dict) else ()


def texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - data
    """Give the texts in a list, none of anything else."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def one_line(values: Iterable[str]) -> bool:
    """Say whether all of the texts can stand in one line of a script."""
    return all(value.isprintable() for value in values)
