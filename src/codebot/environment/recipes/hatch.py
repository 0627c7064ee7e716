"""What Hatch's environments say of tests: what these need, and the script that runs them. Pure.

https://hatch.pypa.io/latest/config/environment/overview/
"""

import re
from collections.abc import Iterator
from typing import Any

from codebot.environment.recipes.clues import Clues, at, texts

ENVIRONMENTS = ("default", "dev", "test", "tests", "hatch-test")
SCRIPTS = ("test", "tests", "run")
_ARGUMENTS = re.compile(r"\s*\{args(?::([^{}]*))?\}")


def hatch_dependencies(clues: Clues) -> Iterator[str]:
    """Give what the environments for tests add."""
    for environment in _environments(clues):
        for key in ("dependencies", "extra-dependencies"):
            yield from texts(at(environment, key))


def hatch_extras(clues: Clues) -> Iterator[str]:
    """Give the extras of the project that they want."""
    for environment in _environments(clues):
        yield from (name for name in texts(at(environment, "features")) if name.isprintable())


def hatch_test(clues: Clues) -> str:
    """Give the script that runs the tests, "" where there is none, or one of Hatch's own words."""
    for environment in _environments(clues):
        for name in SCRIPTS:
            script = at(environment, "scripts", name)
            lines = [script] if isinstance(script, str) else [*texts(script)]
            command = " && ".join(_ARGUMENTS.sub(_default, line).strip() for line in lines)
            if re.match(r"(?:python|pytest|coverage)\b", command) and "{" not in command:
                return command
    return ""


def _default(found: re.Match[str]) -> str:
    return f" {found[1]}" if found[1] else ""


def _environments(clues: Clues) -> Iterator[Any]:
    for file, *keys in (("pyproject.toml", "tool", "hatch", "envs"), ("hatch.toml", "envs")):
        tables = clues.toml(file, *keys)
        yield from (at(tables, name) for name in ENVIRONMENTS)
