"""A command that hits a bound of its box ends with words that name it."""

from datetime import timedelta

import pytest

from codebot.agent.endings import crash
from codebot.domain.bounds import bound_reached
from codebot.domain.box import Bound, Exit, ExitReason
from codebot.domain.ports import Ended
from codebot.verify.command import TestCommand
from codebot.verify.verdict import TestRun, judge

SAID = {
    Bound.PROCESSES: [
        "bash: fork: retry: Resource temporarily unavailable",
        "    os.fork()\nBlockingIOError: [Errno 11] Resource temporarily unavailable",
        (
            "    self.pid = _fork_exec(\n               ^^^^^^^^^^^\n"
            "BlockingIOError: [Errno 11] Resource temporarily unavailable"
        ),
        "can't create Thread: Resource temporarily unavailable (ThreadError)",
        (
            "terminate called after throwing an instance of 'std::system_error'\n"
            "  what():  Resource temporarily unavailable"
        ),
        "RuntimeError: can't start new thread",
        "Error: spawn /bin/sh EAGAIN",
        "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory",
        "runtime: failed to create new OS thread (have 9 already; errno=11)",
        "make: vfork: Resource temporarily unavailable",
        "sh: 1: Cannot fork",
        "node: src/node_platform.cc:61: Assertion `(0) == (uv_thread_create(t.get(), x))' failed.",
    ],
    Bound.OPEN_FILES: [
        "OSError: [Errno 24] Too many open files: 'x'",
        "Error: EMFILE: too many open files, open 'x'",
        "http: Accept error: accept tcp [::]:80: accept4: too many open files",
        "fopen: No file descriptors available",
    ],
    Bound.FILE_SIZE: [
        "OSError: [Errno 27] File too large",
        "Error: EFBIG: file too large, write",
        "sh: line 1: 7 File size limit exceeded(core dumped) ./x",
    ],
    Bound.CPU_TIME: ["Makefile:2: recipe failed: CPU time limit exceeded"],
}
NAMED = {
    Bound.PROCESSES: "processes and threads",
    Bound.OPEN_FILES: "open files",
    Bound.FILE_SIZE: "size of one file",
    Bound.CPU_TIME: "CPU time",
}


@pytest.mark.parametrize(
    ("bound", "words"), [(bound, words) for bound, all_ in SAID.items() for words in all_]
)
def test_what_programs_say_of_a_bound_names_it(bound: Bound, words: str) -> None:
    told = bound_reached(Exit(ExitReason.EXITED, 1), f"before\n{words}\nafter\n")
    assert told.startswith("speaks of the limit of its box on")
    assert NAMED[bound] in told


@pytest.mark.parametrize(
    "words",
    [
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",  # of a socket
        "1 failed, 3 passed",
        "",
    ],
)
def test_other_words_name_none(words: str) -> None:
    assert bound_reached(Exit(ExitReason.EXITED, 1), words) == ""


@pytest.mark.parametrize("code", [0, -9])
def test_a_box_that_ended_well_or_for_a_reason_of_its_own_speaks_of_none(code: int) -> None:
    reason = ExitReason.EXITED if code == 0 else ExitReason.MEMORY
    assert bound_reached(Exit(reason, code, Bound.PROCESSES), "Too many open files") == ""


@pytest.mark.parametrize(
    ("ended", "named"),
    [
        (Exit(ExitReason.EXITED, -25), Bound.FILE_SIZE),
        (Exit(ExitReason.EXITED, 153), Bound.FILE_SIZE),
        (Exit(ExitReason.EXITED, -24), Bound.CPU_TIME),
        (Exit(ExitReason.EXITED, 152, Bound.PROCESSES), Bound.CPU_TIME),
        (Exit(ExitReason.EXITED, -6, Bound.PROCESSES), Bound.PROCESSES),
        (Exit(ExitReason.EXITED, 1, Bound.OPEN_FILES), Bound.OPEN_FILES),
        (Exit(ExitReason.TIMEOUT, -9, Bound.PROCESSES), Bound.PROCESSES),
    ],
)
def test_what_was_seen_is_named_without_a_word(ended: Exit, named: Bound) -> None:
    told = bound_reached(ended, "Too many open files" if named is not Bound.OPEN_FILES else "")
    assert told.startswith("reached the limit of its box on")
    assert NAMED[named] in told


def test_an_agent_that_hits_one_ends_with_its_name() -> None:
    ended = Ended(
        exit=Exit(ExitReason.EXITED, -6, Bound.PROCESSES),
        idle=False,
        events=(),
        stderr_tail="",
        duration=timedelta(seconds=1),
    )
    assert crash(ended).detail == (
        "The agent reached the limit of its box on processes and threads (CODEBOT_MAX_PROCESSES)"
        " and was ended by signal 6 without a result."
    )


def test_tests_that_hit_one_end_with_its_name() -> None:
    run = TestRun(
        command=TestCommand("make test", "task"),
        exit=Exit(ExitReason.EXITED, 2, Bound.PROCESSES),
        duration=timedelta(seconds=1),
        output="no more\n",
    )
    assert judge(run, None, "1f3e").output == (
        "no more\n\ncodebot: the command reached the limit of its box on processes and threads"
        " (CODEBOT_MAX_PROCESSES).\n"
    )
