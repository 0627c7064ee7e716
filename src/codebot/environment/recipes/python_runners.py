"""tox and nox: they make environments of their own; one of them is made and run."""

import re
from collections.abc import Iterator

from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.python_locked import TOOLS, install_tool
from codebot.environment.recipes.tox_environments import tox_environment

_SESSION = re.compile(r"^(?:async\s+)?def\s+(tests?|unit|unit_tests?|pytest)\s*\(", re.MULTILINE)


def tox(clues: Clues) -> Iterator[Guess]:
    """Guess of `tox.ini`, where tox runs the tests: its environment for the Python that is here."""
    if not re.match(r"tox\b", clues.test):
        return
    settings = clues.ini("tox.ini", "tox")
    listed = settings.get("envlist", settings.get("env_list", ""))
    name = tox_environment(listed, clues.python)
    yield guess(
        Family.PYTHON,
        "tox.ini",
        f"{install_tool('tox')}\ntox run -e {name} --notest --skip-pkg-install",
        usual_test=f"tox run -e {name}",
        runner="",
        env={"TOX_OVERRIDE": f"{_passing(clues, name)}+=PYTEST_ADDOPTS"},
        bin_=(TOOLS,),
        keys=clues.those("tox.ini", "pyproject.toml", "setup.cfg", "setup.py"),
        programs=("uv",),
    )


def _passing(clues: Clues, name: str) -> str:
    """Give the setting that says which variables tox passes on: pytest is asked by one of them."""
    own = f"testenv:{name}"
    section = own if {"passenv", "pass_env"} & clues.ini("tox.ini", own).keys() else "testenv"
    return f"{section}.pass_env"


def nox(clues: Clues) -> Iterator[Guess]:
    """Guess of `noxfile.py`, where nox runs the tests: the session that is named after them."""
    if not re.match(r"nox\b", clues.test):
        return
    session = _SESSION.search(clues.text("noxfile.py"))
    named = f" -s {session[1]}" if session else ""
    run = f"nox -r --force-python python3{named}"
    yield guess(
        Family.PYTHON,
        "noxfile.py",
        f"{install_tool('nox')}\n{run} --install-only",
        usual_test=run,
        runner="",
        bin_=(TOOLS,),
        keys=clues.those("noxfile.py", "pyproject.toml", "setup.cfg", "setup.py"),
        programs=("uv",),
    )
