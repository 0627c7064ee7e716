"""Python projects whose every version stands in a lock file."""

from collections.abc import Iterator

from codebot.environment.recipes.clues import Clues, names
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.python_names import has_native_sources, test_names

TOOLS = "~/.local/bin"
"""Where `uv tool install` puts programs."""

UV_ENV = {"UV_PYTHON_DOWNLOADS": "never"}
PINNED = ".python-version"
VENV = ".venv/bin"


def uv_env(clues: Clues) -> dict[str, str]:
    """Give what uv is told: to download no Python, and to take the one that is here.

    `.python-version` says which one developers use. With which ones a project works stands in its
    `requires-python`, to which uv holds in any case.

    >>> from codebot.domain.tree import Tree
    >>> uv_env(Clues(Tree(frozenset({PINNED}), {PINNED: b"3.9"}), python="3.11"))["UV_PYTHON"]
    '3.11'
    """
    pinned = clues.text(PINNED).strip()
    is_another = bool(pinned and clues.python) and pinned != clues.python
    return UV_ENV | ({"UV_PYTHON": clues.python} if is_another else {})


def install_tool(name: str) -> str:
    """Give the line that puts a Python program into HOME."""
    return f"uv tool install --quiet {name}"


def uv(clues: Clues) -> Iterator[Guess]:
    """Guess of `uv.lock`: every group; the extras that tests are named after, or all of them."""
    if not clues.has("uv.lock"):
        return
    members = " --all-packages" if clues.toml("pyproject.toml", "tool", "uv", "workspace") else ""
    sync = f"uv sync --frozen{members}"
    extras = names(clues.toml("pyproject.toml", "project", "optional-dependencies"))
    groups = names(clues.toml("pyproject.toml", "dependency-groups"))
    wanted = "".join(f" --extra {name}" for name in test_names(extras))
    steps = [f"{sync} --all-groups{wanted}"]
    if extras and not wanted:  # nothing says which of them the tests need
        steps.insert(0, f"{sync} --all-groups --all-extras")
    if groups:  # groups may exclude each other
        steps.append(f"{sync}{''.join(f' --group {name}' for name in test_names(groups))}{wanted}")
    yield guess(
        Family.PYTHON,
        "uv.lock",
        " ||\n".join(steps) + pytest_for(clues, "uv pip install pytest"),
        runner="uv run --frozen",
        env=uv_env(clues),
        pinning={"UV_FROZEN": "1"},
        bin_=(VENV,),
        keys=clues.those("uv.lock", "pyproject.toml", PINNED),
        programs=("uv",),
        builds=has_native_sources(clues.tree.paths),
        is_locked=True,
    )


def pdm(clues: Clues) -> Iterator[Guess]:
    """Guess of `pdm.lock`."""
    if clues.has("pdm.lock"):
        yield guess(
            Family.PYTHON,
            "pdm.lock",
            f"{install_tool('pdm')}\npdm install --frozen-lockfile -G :all ||"
            " pdm install --frozen-lockfile",
            runner="pdm run",
            env={"PDM_CHECK_UPDATE": "0"},
            bin_=(VENV, TOOLS),
            keys=clues.those("pdm.lock", "pyproject.toml"),
            programs=("uv",),
            builds=has_native_sources(clues.tree.paths),
            is_locked=True,
        )


def pipenv(clues: Clues) -> Iterator[Guess]:
    """Guess of `Pipfile.lock`."""
    if clues.has("Pipfile.lock"):
        yield guess(
            Family.PYTHON,
            "Pipfile.lock",
            f"{install_tool('pipenv')}\npipenv sync --dev",
            runner="pipenv run",
            env={"PIPENV_VENV_IN_PROJECT": "1", "PIPENV_NOSPIN": "1", "PIPENV_YES": "1"},
            bin_=(VENV, TOOLS),
            keys=clues.those("Pipfile.lock", "Pipfile"),
            programs=("uv",),
            builds=has_native_sources(clues.tree.paths),
            is_locked=True,
        )


def pytest_for(clues: Clues, install: str) -> str:
    """Give the line that installs pytest where the tests want it and nothing brought it."""
    if "pytest" not in clues.test:
        return ""
    return f"\n.venv/bin/python -c 'import pytest' 2>/dev/null || {install}"
