"""Names of branches: any human text becomes one that git takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.naming import branch_name, is_valid_branch, is_valid_ticket_id, slug
from codebot.domain.task import TaskId

TASK_ID = TaskId("0193a5d2-7b5e-7c3a-9f10-52d0babc1234")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Add dark mode", "add-dark-mode"),
        ("  --Fix   the\tbug!!  ", "fix-the-bug"),
        ("Don't panic", "dont-panic"),
        ("Ünïcödé", "unicode"),
        ("Straße", "strasse"),
        ("添加深色模式", "task"),
        ("🚀🚀🚀", "task"),
        ("إضافة الوضع الداكن", "task"),
        ("...///@{", "task"),
        ("", "task"),
        ("\ud800", "task"),
        ("x" * 200_000, "x" * 50),
        ("word " * 40_000, "word-word-word-word-word-word-word-word-word-word"),
    ],
)
def test_any_text_gives_a_slug(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text())
def test_a_slug_is_short_plain_and_never_empty(text: str) -> None:
    assert re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", slug(text))


def test_a_branch_tells_ticket_task_and_purpose() -> None:
    name = branch_name("FEAT-123", "add-dark-mode", "whatever", TASK_ID)
    assert name == "u/codebot/FEAT-123/abc1234/add-dark-mode"


def test_a_summary_without_latin_letters_leaves_the_name_to_the_description() -> None:
    assert branch_name(None, "深色", "Dark mode", TASK_ID) == "u/codebot/abc1234/dark-mode"


@pytest.mark.parametrize("ticket", ["A..B", "x.lock", "y.", "a...lock", "z.lock.lock"])
def test_a_ticket_id_that_git_would_refuse_still_gives_a_valid_branch(ticket: str) -> None:
    assert is_valid_ticket_id(ticket)
    assert is_valid_branch(branch_name(ticket, None, "text", TASK_ID))


@pytest.mark.parametrize(
    "text",
    [
        "", "-x", "--upload-pack=x", ".x", "a/.b", "a..b", "a//b", "a/", "a.", "a.lock", "a.lock/b",
        "refs/heads/a", "HEAD", "@", "+main", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b",
        "a\n", "main\x00", "x" * 245, "ä" * 123, "a\x85b", "a\u2028b", "mai\u202en", "\ud800",
        "a@{b",
    ],
)  # fmt: skip
def test_a_hostile_branch_is_refused(text: str) -> None:
    assert not is_valid_branch(text)


@pytest.mark.parametrize(
    "text",
    [
        "main", "release/1.x", "u/codebot/a/b", "1", "a-b_c.d", "feature/AB#12-x", "v1+build",
        "T-1@x", "feat(api)-x", "_wip", "ünï", "功能/一", "fix/🚀", "it's",
        'say-"hi"', "$HOME", "`id`",
        "a&b;c|d", "<b>", "100%", "{x}", "a=b,c", "!x", "#1", "a./b", "x" * 244,
    ],
)  # fmt: skip
def test_an_ordinary_branch_is_taken(text: str) -> None:
    assert is_valid_branch(text)


@pytest.mark.parametrize("text", ["", "-a", "a b", "../x", "a/b", "ä", "x" * 65, "A-1\n"])
def test_a_hostile_ticket_id_is_refused(text: str) -> None:
    assert not is_valid_ticket_id(text)
