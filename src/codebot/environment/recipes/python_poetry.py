"""Poetry's projects, with a lock file and without.

Poetry asks the public index for more than the pages that every mirror has. Where that fails, Poetry
is asked what to install, which needs no registry, and uv installs it.
"""

from collections.abc import Iterator

from codebot.environment.recipes.clues import Clues, at, names
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.python_locked import (
    TOOLS,
    VENV,
    install_tool,
    pytest_for,
    uv_env,
)
from codebot.environment.recipes.python_names import has_native_sources, test_names

EXPORT = """\
uv tool install --quiet --force --with poetry-plugin-export poetry
poetry export --all-groups --all-extras --output "$HOME/requirements.txt"
"""
TELL_REQUIREMENTS = """\
uv run --no-project --with poetry-core python - >"$HOME/requirements.txt" <<'END'
from pathlib import Path
from poetry.core.factory import Factory
package = Factory().create_poetry(Path.cwd()).package
print(*(dependency.to_pep_508() for dependency in package.all_requires), sep="\\n")
END
"""
INSTALL_LISTED = """\
uv venv --quiet --seed --clear
uv pip install --quiet --python .venv/bin/python -r "$HOME/requirements.txt"
"""
INSTALL_PROJECT = "uv pip install --quiet --python .venv/bin/python --no-deps -e ."


def poetry(clues: Clues) -> Iterator[Guess]:
    """Guess of `poetry.lock`, or of what only Poetry understands in `pyproject.toml`."""
    table = clues.toml("pyproject.toml", "tool", "poetry")
    only = {"group", "dev-dependencies"} & set(names(table))
    is_locked = clues.has("poetry.lock")
    if not is_locked and not only:
        return
    source = "poetry.lock" if is_locked else "pyproject.toml (Poetry)"
    groups = test_names(names(at(table, "group")))
    wanted = f" --with {','.join(groups)}" if groups else ""  # they may be optional
    install = f"poetry install --all-extras{wanted} || poetry install{wanted}"
    listing = EXPORT if is_locked else TELL_REQUIREMENTS
    by_poetry = f"{install_tool('poetry')}\n{install}"
    is_package = at(table, "package-mode") is not False
    by_uv = f"{listing}{INSTALL_LISTED}{INSTALL_PROJECT if is_package else 'true'}"
    yield _poetry(clues, source, by_poetry, runner="poetry run")
    yield _poetry(clues, f"{source}, installed by uv", by_uv, runner="")


def _poetry(clues: Clues, source: str, setup: str, *, runner: str) -> Guess:
    return guess(
        Family.PYTHON,
        source,
        setup + pytest_for(clues, "uv pip install --python .venv/bin/python pytest"),
        runner=runner,
        env=uv_env(clues) | {"POETRY_VIRTUALENVS_IN_PROJECT": "true", "POETRY_NO_INTERACTION": "1"},
        bin_=(VENV, TOOLS),
        keys=clues.those("poetry.lock", "pyproject.toml"),
        programs=("uv",),
        builds=has_native_sources(clues.tree.paths),
        is_locked=clues.has("poetry.lock"),
    )
