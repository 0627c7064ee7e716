"""What every test stands on: an environment that says nothing about this machine's owner."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

_OUTSIDE = re.compile(
    r"(ANTHROPIC|CLAUDE|CODEBOT|GITHUB|GIT)_.*|.*_PROXY|SSL_CERT_FILE|XDG_.*", re.IGNORECASE
)
"""Variables that would make a test depend on who runs it."""


_AS_IT_WAS = dict(os.environ)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the random crash test go on for longer than every test run can afford."""
    parser.addoption("--crash-rounds", default=3, help="how often the service is killed")
    parser.addoption("--crash-seed", default=1, help="which moments it is killed at")
    parser.addoption("--hostile-all", action="store_true", help="every refusal, as every user")


@pytest.fixture(scope="session")
def outside_environment() -> Mapping[str, str]:
    """The environment of whoever runs the tests: for the one tool that needs it, the installer."""
    return _AS_IT_WAS


@pytest.fixture(autouse=True)
def _clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in list(os.environ):
        if _OUTSIDE.fullmatch(name):
            monkeypatch.delenv(name)
    home = _home(tmp_path_factory)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def _home(factory: pytest.TempPathFactory) -> Path:
    """Give one HOME per test process, with a git identity in it."""
    home = factory.getbasetemp() / "home"
    if not home.exists():
        home.mkdir()
        (home / ".gitconfig").write_text(
            "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n"
        )
    return home
