"""What a person wrote for this service: one table, checked whole, every problem with its line.

It stands in a repository's `.codebot.toml`, or in the operator's table under the repository's name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from codebot.domain.environment import Recipe, RecipeOrigin
from codebot.environment.recipes.bounds import (
    is_argument,
    is_egress_host,
    is_variable,
    is_within,
    owner_of,
)

SCRIPTS = ("setup", "update", "test")
LISTS = ("keys", "bin", "egress")
TASK = "the task"
KEYS = "files or folders of the repository"
KNOWN = (*SCRIPTS, "path", "env", *LISTS)
LONGEST_SCRIPT = 32 * 1024
MOST_ENTRIES = 100
MOST_PROBLEMS = 20
"""Of one table: for each the whole text is searched for its line."""


@dataclass(frozen=True, slots=True)
class Written:
    """A recipe that a person wrote; without `has_setup` it leaves open how to set up."""

    recipe: Recipe
    has_setup: bool

    def over(self, recipe: Recipe) -> Recipe:
        """Lay what is written over a recipe that says how to set up."""
        own = self.recipe
        return replace(
            recipe,
            test=own.test or recipe.test,
            test_source=own.test_source if own.test else recipe.test_source,
            update=own.update or recipe.update,
            env={**recipe.env, **own.env},
            bin=(*own.bin, *recipe.bin),
            keys=(*own.keys, *recipe.keys),
            egress=own.egress,
            builds=recipe.builds and not own.update,  # somebody knows better
            notes=(*own.notes, *recipe.notes),
        )

    def set_up_by(self, command: str) -> "Written":
        """Give the same with a task's word on how to set up, which tells nothing of its files."""
        recipe = replace(
            self.recipe,
            origin=RecipeOrigin.TASK,
            source=TASK,
            setup=command,
            update="",
            keys=(),
        )
        return Written(recipe, has_setup=True)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of TOML, and the text that it stands in; `header` is its name there, if any."""

    values: Mapping[str, Any]
    text: str
    header: str = ""

    def place(self, key: str) -> str:
        """Say in which line a key stands, as far as it can be found."""
        number = self._line_of(key)
        return f"line {number}: " if number else ""

    def _line_of(self, key: str) -> int | None:
        name = rf"""["']?{re.escape(key)}["']?"""
        wanted = re.compile(rf"\s*(?:{name}\s*[=.]|\[\[?\s*(?:[^\]]*\.\s*)?{name}\s*[\].])")
        inside = not self.header
        for number, line in enumerate(self.text.splitlines(), 1):
            if self.header and line.lstrip().startswith("["):
                inside = self.header in line
            if inside and wanted.match(line):
                return number
        return None


@dataclass(slots=True)
class _Reading:
    """One table on its way to a recipe, with the problems found so far."""

    table: Table
    problems: list[str] = field(default_factory=list)

    def complain(self, key: str, words: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"{self.table.place(key)}{words}")

    def text(self, key: str) -> str:
        value = self.table.values.get(key, "")
        lines = value if isinstance(value, list) else [value]
        if not all(isinstance(line, str) for line in lines):
            self.complain(key, f"`{key}` must be a text, or a list of texts")
            return ""
        script = "\n".join(lines)
        if not is_argument(script, LONGEST_SCRIPT):
            self.complain(key, f"`{key}` must be a text of at most {LONGEST_SCRIPT:,} bytes")
            return ""
        return script

    def path(self) -> str:
        value = self.table.values.get("path", "")
        if not isinstance(value, str) or not is_within(value):
            self.complain("path", "`path` must be a folder of the repository, without `..`")
            return ""
        return _spelled_plainly(value)

    def listed(self, key: str, is_good: Callable[[str], bool], kind: str) -> tuple[str, ...]:
        value = self.table.values.get(key, [])
        fits = isinstance(value, list) and len(value) <= MOST_ENTRIES
        if not fits or not all(isinstance(item, str) and is_good(item) for item in value):
            self.complain(key, f"`{key}` must be a list of {kind}")
            return ()
        return tuple(value)

    def env(self) -> dict[str, str]:
        value = self.table.values.get("env", {})
        if not isinstance(value, dict) or len(value) > MOST_ENTRIES:
            self.complain("env", "`env` must be a table of variables")
            return {}
        return dict(self._variables(value))

    def _variables(self, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for name, value in given.items():
            owner = owner_of(name)
            if not is_variable(name, value):
                self.complain(name, f"`env` cannot hold {name!r}: a variable's name and a text")
            elif owner:
                self.complain(name, f"`env` cannot set {name}: {owner}")
            else:
                yield name, value


def read_written(table: Table, origin: RecipeOrigin, source: str) -> tuple[Written, list[str]]:
    """Give the recipe of a table, and what is wrong with it: nothing, if it may be used."""
    reading = _Reading(table)
    for key in table.values:
        if key not in KNOWN:
            reading.complain(key, f"unknown key `{key}` (there are {', '.join(KNOWN)})")
    setup, update, test = map(reading.text, SCRIPTS)
    recipe = Recipe(
        origin,
        source,
        setup,
        update=update,
        test=test,
        test_source=source,
        path=reading.path(),
        env=reading.env(),
        bin=reading.listed("bin", is_within_or_home, "folders of the repository, or of ~/"),
        keys=tuple(map(_spelled_plainly, reading.listed("keys", _is_below, KEYS))),
        egress=reading.listed("egress", is_egress_host, "full host names"),
    )
    return Written(recipe, "setup" in table.values), reading.problems


def _is_below(path: str) -> bool:
    """Say whether a path means something in the tree, and not all of it."""
    return is_within(path) and _spelled_plainly(path) != ""


def _spelled_plainly(path: str) -> str:
    """Give a path as git has it.

    >>> _spelled_plainly("./api//deps/")
    'api/deps'
    """
    return "/".join(part for part in path.split("/") if part not in {"", "."})


def is_within_or_home(path: str) -> bool:
    """Say whether a folder lies in the tree or in HOME."""
    return is_within(path.removeprefix("~/"))
