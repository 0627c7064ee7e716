"""tox and nox: they make environments of their own; one of them is made and run."""

import re
from collections.abc import Iterator

from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.python_locked import TOOLS, install_tool

_SESSION = re.compile(r"^(?:async\s+)?def\s+(tests?|unit|unit_tests?|pytest)\s*\(", re.MULTILINE)
_FACTOR = re.compile(r"[\w.-]+")


def tox(clues: Clues) -> Iterator[Guess]:
    """Guess of `tox.ini`, where tox runs the tests: its environment for the Python that is here."""
    if not re.match(r"tox\b", clues.test):
        return
    name = tox_environment(clues.ini("tox.ini", "tox"))
    yield guess(
        Family.PYTHON,
        "tox.ini",
        f"{install_tool('tox')}\ntox run -e {name} --notest --skip-pkg-install",
        usual_test=f"tox run -e {name}",
        runner="",
        bin_=(TOOLS,),
        keys=clues.those("tox.ini", "pyproject.toml", "setup.cfg", "setup.py"),
        programs=("uv",),
    )


def tox_environment(settings: dict[str, str]) -> str:
    """Give the environment that is run: `py` stands for the Python that runs tox.

    >>> tox_environment({"envlist": "lint, py{311,312}-{a,b}, docs"}), tox_environment({})
    ('py', 'py')
    >>> tox_environment({"envlist": "unit, lint"})
    'unit'
    """
    listed = settings.get("envlist", settings.get("env_list", ""))
    if re.search(r"(?:^|[\s,{])(?:py|\d)", listed):
        return "py"
    first = _FACTOR.search(listed)
    return "py" if first is None or "{" in listed else first[0]


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
