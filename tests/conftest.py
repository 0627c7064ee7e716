"""What every test stands on: an environment that says nothing about this machine's owner."""

import asyncio
import faulthandler
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import HealthCheck, settings

from codebot.sandbox.deaf import ignore_alone

if TYPE_CHECKING:
    from fakes.plans import Plans
    from fakes.postgres import Postgres

_OUTSIDE = re.compile(
    r"(ANTHROPIC|CLAUDE|CODEBOT|GITHUB|GIT)_.*|PG[A-Z]+|.*_PROXY|SSL_CERT_FILE|XDG_.*",
    re.IGNORECASE,
)
"""Variables that would make a test depend on who runs it."""


_GRACE = 60
"""Seconds that a test has to clean up after its time limit."""

_AS_IT_WAS = dict(os.environ)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the random crash test go on for longer than every test run can afford."""
    parser.addoption("--crash-rounds", default=3, help="how often the service is killed")
    parser.addoption("--crash-seed", default=1, help="which moments it is killed at")
    parser.addoption("--crash-all", action="store_true", help="die at every moment of every step")
    parser.addoption("--cancels", default=8, help="how many tasks are cancelled at random moments")
    parser.addoption("--hostile-all", action="store_true", help="every refusal, as every user")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Tell of a failure when it happens: a run that is cut off has no summary.

    And pass on no signal that whoever started the tests ignores, as every command of Codebot does:
    make has the C library's own ignored. No example of a property is timed: machines differ.
    """
    ignore_alone()
    slow = [HealthCheck.too_slow]
    settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=slow)
    settings.load_profile("untimed")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        config.pluginmanager.register(_Failures(terminal))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, after the shuffling of pytest-randomly."""
    from fakes.order import long_first

    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = long_first(
        items,
        workers,
        is_long=lambda item: item.get_closest_marker("e2e") is not None,
        file_of=lambda item: item.path,
    )


class _Failures:
    """Which tests failed, and of what, a line each."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            lines = report.longreprtext.splitlines()
            why = next((line for line in lines if line.startswith("E ")), "".join(lines[-1:]))
            self._terminal.write_line(f"\n{report.nodeid} ({report.when}): {why[:300]}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Give each test an end, whatever it hangs in: see `_end_when_stuck`."""
    _end_when_stuck(item)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Set the time anew: pytest takes it away from a test that failed."""
    _end_when_stuck(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _end_when_stuck(item: pytest.Item) -> None:
    """Show every stack and end this test process when a test does not end at its time limit.

    pytest-timeout raises an exception, once: code that swallows it, or a clean-up that waits for
    what hangs, would hold the whole run for ever.
    """
    marked = item.get_closest_marker("timeout")
    limit = float(marked.args[0] if marked else item.config.getini("timeout"))
    stderr = item.config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(limit + _GRACE, file=stderr, exit=True)


@pytest.fixture(scope="session")
def outside_environment() -> Mapping[str, str]:
    """The environment of whoever runs the tests: for the one tool that needs it, the installer."""
    return _AS_IT_WAS


@pytest.fixture(scope="session")
def postgres() -> Iterator["Postgres"]:
    """A PostgreSQL server, one for each test process that asks for it."""
    from fakes.postgres import run_postgres

    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: "Postgres") -> str:
    """A database with every table in place and nothing in them."""
    from codebot.store.store import Store

    async def fill(url: str) -> None:
        await (await Store.open(url)).close()

    name = postgres.make_database()
    asyncio.run(fill(postgres.url(name)))
    return name


@pytest.fixture(scope="session")
def plans() -> Iterator["Plans"]:
    """What is sent to databases: nothing may read a whole table that grows."""
    from fakes.plans import recorded

    with recorded() as plans:
        yield plans


@pytest.fixture
def postgres_url(postgres: "Postgres", postgres_template: str, plans: "Plans") -> Iterator[str]:
    """The URL of a database of one test's own."""
    name = postgres.make_database(postgres_template)
    url = postgres.url(name)
    yield url
    scans = plans.scans_of_server(url)
    postgres.drop_database(name)
    assert scans == []


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store of one test's own is: as a file, and as the URL of a server's database."""
    if request.param == "sqlite":
        return tmp_path / "data" / "codebot.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


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
