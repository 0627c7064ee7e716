"""What all files that were written for other services have in common. Pure."""

import re
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import Any

from codebot.domain.environment import Recipe, RecipeOrigin
from codebot.environment.recipes.bounds import is_variable, owner_of
from codebot.environment.recipes.python_locked import TOOLS
from codebot.environment.recipes.python_plain import VENV

MOST_NOTES = 20
_WANTS_PYTHON = re.compile(r"\b(?:pip3?|python3?)\b|\.sh\b")
_WITHOUT_A_VARIABLE = re.compile(r"\$\{\{|\$\{(?:localEnv|containerEnv|containerWorkspace)")


def foreign_recipe(
    source: str,
    script: str,
    *,
    python: str = "",
    env: Mapping[str, Any] | None = None,
    notes: Iterable[str] = (),
) -> Recipe | None:
    """Give the recipe of another service's file; None where it says nothing to run.

    Other services give a machine to a task, with a Python that pip may write to. Here that is a
    venv, of the version `python` where it is on this machine.
    """
    if not script.strip():
        return None
    wants_python = _WANTS_PYTHON.search(script) is not None
    variables, refused = _usable(env or {})
    return Recipe(
        RecipeOrigin.FOREIGN,
        source,
        (_venv(python) if wants_python else "") + script,
        env=variables,
        bin=(*((VENV,) if wants_python else ()), ".venv/bin", "node_modules/.bin", TOOLS),
        builds=True,  # nobody knows what it looks at
        programs=("uv",) if wants_python else (),
        notes=tuple([*notes, *refused][:MOST_NOTES]),
    )


def _venv(version: str) -> str:
    make = 'uv venv --quiet --seed --clear "$HOME/venv"'
    wanted = f"{make} --python {quote(version)} 2>/dev/null || " if version else ""
    return f'{wanted}{make}\nexport VIRTUAL_ENV="$HOME/venv"\n'


def _usable(env: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Give the variables that are plain texts and nobody else's, and a note for each other."""
    good = {
        name: value
        for name, value in env.items()
        if is_variable(name, value) and not owner_of(name) and not _WITHOUT_A_VARIABLE.search(value)
    }
    return good, [f"the variable {name!r} was left out" for name in env if name not in good]
