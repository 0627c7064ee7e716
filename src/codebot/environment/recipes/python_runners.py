"""tox and nox: they make environments of their own; one of them is made and run."""

import re
from collections.abc import Iterator

from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.python_locked import TOOLS, install_tool
from codebot.environment.recipes.python_needs import NOX_SESSION
from codebot.environment.recipes.tox_environments import tox_environment
from codebot.environment.recipes.tox_settings import tox_settings


def tox(clues: Clues) -> Iterator[Guess]:
    """Guess of tox's settings, where tox runs the tests: its environment for our Python."""
    settings = tox_settings(clues) if re.match(r"tox\b", clues.test) else None
    if settings is None:
        return
    name = tox_environment(settings.envlist, clues.python)
    yield guess(
        Family.PYTHON,
        settings.source,
        f"{install_tool('tox')}\ntox run -e {name} --notest --skip-pkg-install",
        usual_test=f"tox run -e {name}",
        runner="",
        env={"TOX_OVERRIDE": f"{settings.passing(name)}+=PYTEST_ADDOPTS"},
        bin_=(TOOLS,),
        keys=clues.those("tox.ini", "tox.toml", "pyproject.toml", "setup.cfg", "setup.py"),
        programs=("uv",),
    )


def nox(clues: Clues) -> Iterator[Guess]:
    """Guess of `noxfile.py`, where nox runs the tests: the session that is named after them."""
    if not re.match(r"nox\b", clues.test):
        return
    session = NOX_SESSION.search(clues.text("noxfile.py"))
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
