"""What holds for every test of this folder."""

from collections.abc import Iterator

import pytest

from fakes.plans import Plans


@pytest.fixture(autouse=True)
def _nothing_scans(plans: Plans) -> Iterator[None]:
    """Let no statement read a whole table of SQLite; for PostgreSQL `postgres_url` does so."""
    yield
    assert plans.scans_of_file() == []
