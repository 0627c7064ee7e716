"""What an ending proves, and what of an output is fit to be shown."""

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.box import Exit, ExitReason
from codebot.domain.outcome import Verdict, VerdictState
from codebot.telemetry.token_shapes import mask_tokens
from codebot.verify.command import TestCommand
from codebot.verify.output import LONGEST_OUTPUT, as_text, keep_tail
from codebot.verify.tree_state import MOST_FILES, read_status
from codebot.verify.verdict import TestRun, judge, not_verified
from fakes.tokens import PROOF

GIVEN = TestCommand("./check", "task")
DETECTED = TestCommand("make test", "detected from Makefile")


def verdict_of(reason: ExitReason, code: int, command: TestCommand = GIVEN) -> Verdict:
    return judge(
        TestRun(
            command=command,
            exit=Exit(reason, code),
            duration=timedelta(seconds=2),
            output="1 failed\n",
            commit="c0ffee",
            leftovers=["junk"],
        )
    )


@pytest.mark.parametrize(
    ("reason", "code", "state", "shown", "words"),
    [
        (ExitReason.EXITED, 0, VerdictState.PASSED, 0, None),
        (ExitReason.EXITED, 1, VerdictState.FAILED, 1, None),
        (ExitReason.EXITED, 126, VerdictState.FAILED, 126, "may not be executed"),
        (ExitReason.EXITED, 127, VerdictState.FAILED, 127, "not installed"),
        (ExitReason.EXITED, -9, VerdictState.FAILED, 137, "ended by SIGKILL"),
        (ExitReason.EXITED, 139, VerdictState.FAILED, 139, "ended by SIGSEGV"),
        (ExitReason.EXITED, 255, VerdictState.FAILED, 255, None),
        (ExitReason.TIMEOUT, -9, VerdictState.TIMED_OUT, 137, "time limit"),
        (ExitReason.TIMEOUT, 0, VerdictState.TIMED_OUT, 0, "time limit"),
        (ExitReason.OUTPUT, -9, VerdictState.FAILED, 137, "printed more"),
        (ExitReason.MEMORY, -9, VerdictState.FAILED, 137, "used up its memory"),
        (ExitReason.KILLED, 0, VerdictState.FAILED, 0, "from outside"),
    ],
)
def test_an_ending_has_one_meaning(
    reason: ExitReason, code: int, state: VerdictState, shown: int, words: str | None
) -> None:
    verdict = verdict_of(reason, code)
    assert (verdict.state, verdict.exit_code) == (state, shown)
    if words is None:
        assert verdict.output == "1 failed\n"
    else:
        assert verdict.output.startswith("1 failed\n\ncodebot: ")
        assert words in verdict.output


def test_a_guess_that_cannot_be_tried_is_not_held_against_the_change() -> None:
    verdict = verdict_of(ExitReason.EXITED, 127, DETECTED)
    assert verdict.state is VerdictState.NOT_VERIFIED
    assert (verdict.command, verdict.source) == ("make test", "detected from Makefile")
    assert "not installed" in verdict.output


def test_the_verdict_keeps_the_evidence() -> None:
    verdict = verdict_of(ExitReason.EXITED, 0)
    assert (verdict.commit, verdict.leftovers) == ("c0ffee", ("junk",))
    assert verdict.duration == timedelta(seconds=2)


def test_nothing_to_run_says_so() -> None:
    verdict = not_verified("c0ffee")
    assert verdict.state is VerdictState.NOT_VERIFIED
    assert verdict.holds
    assert (verdict.command, verdict.exit_code) == ("", None)
    assert "No test command" in verdict.output


# --- Output ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"\x1b]0;title\x07text\n", "text\n"),
        (b"\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        (b"\x1b(Bascii\x1b=\n", "ascii\n"),
        (b"10%\r50%\r100%\n", "100%\n"),
        (b"dos\r\nlines\r\n", "dos\nlines\n"),
        (b"bell\x07 null\x00 back\x08\n", "bell null back\n"),
        (b"caf\xc3\xa9 \xff\n", "café \ufffd\n"),
        (b"csi \xc2\x9b1m\n", "csi 1m\n"),
        (b"tab\tstays\n", "tab\tstays\n"),
    ],
)
def test_only_text_is_left_of_an_output(raw: bytes, shown: str) -> None:
    assert as_text(raw, 0) == shown


def test_a_secret_is_masked_whatever_its_colour_and_wherever_the_output_is_cut() -> None:
    token = PROOF["ghp"]
    coloured = f"a \x1b[1m{token[:9]}\x1b[0m{token[9:]} b\n".encode()
    assert as_text(coloured, 0, mask_tokens) == "a *** b\n"
    for rest in range(LONGEST_OUTPUT - len(token), LONGEST_OUTPUT):
        shown = as_text(f"{token}{'x' * rest}".encode(), 0, lambda t: t.replace(token, "***"))
        assert token[-8:] not in shown


async def as_lines(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def test_the_end_of_a_long_output_is_kept_in_whole_lines() -> None:
    tail, cut = await keep_tail(as_lines(b"line %d\n" % n for n in range(500_000)))
    shown = as_text(tail, cut).splitlines()
    assert shown[0] == "[the beginning of the output is left out]"
    assert shown[-1] == "line 499999"
    assert all(line.startswith("line ") for line in shown[1:])
    assert len("\n".join(shown)) < LONGEST_OUTPUT + 100


async def test_a_line_longer_than_all_room_is_cut() -> None:
    tail, cut = await keep_tail(as_lines([b"x" * 3_000_000, b"y" * 100]))
    assert len(as_text(tail, cut)) < LONGEST_OUTPUT + 100
    assert as_text(tail, cut).endswith("y" * 100)


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"]", b"\r", b"\n", b"a", b"1m", b"\xff"])))
def test_no_output_keeps_an_escape(parts: list[bytes]) -> None:
    assert not {"\x1b", "\r"} & set(as_text(b"".join(parts), 0))


@pytest.mark.parametrize("part", [b"\x1b]", b"\x1b[", b"\r", b"\x1b[0", b"a\r", b"\x1b]0;a"])
@pytest.mark.timeout(5)
def test_hostile_output_takes_no_time(part: bytes) -> None:
    as_text(part * (256 * 1024 // len(part)), 0)


# --- The tree --------------------------------------------------------------------------------


def test_git_status_is_read_whatever_the_names() -> None:
    output = (
        b"# branch.oid 1234\0# branch.head main\0"
        b"1 .M N... 100644 100644 100644 aa aa src/with space.py\0"
        b"u UU N... 100644 100644 100644 100644 aa aa aa both\0"
        b"? new\nline \x1b[31m\xff\0? build/\0! ignored\0nonsense\0"
    )
    state = read_status(output)
    assert state.commit == "1234"
    assert state.files == ("src/with space.py", "both", "new line \ufffd", "build/")


def test_only_so_many_leftovers_are_named() -> None:
    output = b"# branch.oid 1\0" + b"".join(b"? %d\0" % n for n in range(1000))
    assert len(read_status(output).files) == MOST_FILES
