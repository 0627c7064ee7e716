"""One service of each user for all tests of a test process, and what came of its whole box."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from hostile.variants import USERS, Variant, open_variant


@pytest.fixture(scope="session")
def variant_of() -> Iterator[Callable[[str], Variant]]:
    """Give the service of a user; it is started once."""
    with ExitStack() as stack:
        yield cache(lambda user: stack.enter_context(open_variant(user)))


@pytest.fixture(scope="session")
def box_of(variant_of: Callable[[str], Variant]) -> Callable[[str], Mapping[str, Any]]:
    """Give what the attempts did in a box of a user's service."""
    return cache(lambda user: variant_of(user).ask("inside"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what an ordinary user cannot try."""
    if "root" not in USERS:
        terminalreporter.write_line(
            "hostile: tried as this ordinary user alone; as root, boxes of root are tried as well"
        )
