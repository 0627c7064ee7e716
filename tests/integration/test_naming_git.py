"""The rules for branches, held against git itself."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from codebot.domain.naming import branch_name, is_valid_branch
from codebot.domain.task import TaskId

TICKETS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
BRANCHES = st.text(alphabet="aR./-_HEADlockrefs@", min_size=1, max_size=12) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
)


def git_takes(branch: str) -> bool:
    command = ["git", "check-ref-format", "--branch", branch]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@settings(max_examples=150)
@given(st.none() | TICKETS, st.none() | st.text(max_size=80), st.text(max_size=80))
def test_git_takes_every_branch_that_a_task_gets(
    ticket: str | None, summary: str | None, description: str
) -> None:
    branch = branch_name(ticket, summary, description, TaskId("0193-5abc1234"))
    assert git_takes(branch)
    assert is_valid_branch(branch)


@settings(max_examples=300)
@given(BRANCHES)
def test_git_takes_every_branch_that_the_rule_lets_through(branch: str) -> None:
    assert not is_valid_branch(branch) or git_takes(branch)
