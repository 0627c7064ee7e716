"""What git itself takes a pattern for, compared with what we do: never less than that."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codebot.workspace.protected import find_protecting
from fakes.git_http import git

NAMES = ("a", "B", "ab", "CI", "x.y")
PATHS = (
    *("c", "bb", "0.x", "A-"),
    *(f"{first}/{second}/{third}" for first in NAMES for second in NAMES for third in NAMES),
    *(f"{first}/0" for first in NAMES),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patterns")
    git("init", "-q", str(folder))
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    git("add", "-A", cwd=folder)
    return folder


PARTS = st.sampled_from(
    ["**", "*", "?", "a", "A", "a*", "*b", "[ab]", "[!a]", "[^a]", "ci", "x.?", r"\a", "0", "[0-3]"]
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(PARTS, min_size=1, max_size=4).map("/".join))
def test_what_git_matches_is_protected(repository: Path, pattern: str) -> None:
    matched = git(
        *("-C", str(repository), "ls-files", "-z", "--", f":(top,glob,icase){pattern}")
    ).split("\0")
    free = [path for path in matched if path and find_protecting([pattern], path) is None]
    assert free == []
