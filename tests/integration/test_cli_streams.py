"""Whoever reads what a command says may go away: that ends no work."""

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

import pytest

from codebot.cli.streams import Unfailing

PROGRAM = """
import argparse, os, sys
from pathlib import Path
from codebot.cli.call import Call
from codebot.cli.entry import run_guarded

def work(call):
    for stream in (sys.stdout, sys.stderr):
        for _ in range(100):
            print("x" * 1000, file=stream, flush=True)
    named = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]
    with open("opened", "w") as file:
        Path("done").write_text(" ".join([*named, str(file.fileno() > 2)]))
    return 0

sys.exit(run_guarded(work, Call(argparse.Namespace(debug=False), [], str)))
"""


def work(folder: Path, around: str) -> tuple[int, str, Sequence[str]]:
    """Run a command that says much, as a shell does; give its code, stderr, and what it found."""
    ended = subprocess.run(
        ["/bin/bash", "-c", around, "bash", sys.executable, PROGRAM],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stderr, (folder / "done").read_text().split()


@pytest.mark.parametrize(
    "around",
    [
        '"$1" -c "$2" 2>/dev/null | true; exit ${PIPESTATUS[0]}',
        '"$1" -c "$2" 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}',
        '"$1" -c "$2" 2>&1 | true; exit ${PIPESTATUS[0]}',
        '"$1" -c "$2" >/dev/null 2>/dev/full',
    ],
    ids=["stdout", "stderr", "both", "a full disk for the log"],
)
def test_work_goes_on_where_nobody_reads_what_is_said(tmp_path: Path, around: str) -> None:
    code, told, _ = work(tmp_path, around)
    assert (code, told) == (0, "")


def test_a_command_whose_words_could_not_be_written_has_failed(tmp_path: Path) -> None:
    code, told, _ = work(tmp_path, '"$1" -c "$2" >/dev/full')
    assert code == 1
    assert told.endswith(" say could not be written: No space left on device.\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_not_open_is_nothing_that_is_opened_later(
    tmp_path: Path, closed: str
) -> None:
    code, _, (*named, is_later) = work(tmp_path, f'"$1" -c "$2" {closed}')
    assert (code, is_later) == (0, "True")
    assert named.count(os.devnull) >= closed.count("-")


class _Full:
    """A stream whose disk is full for a while."""

    def __init__(self) -> None:
        self.has_room = False
        self.taken = ""

    def write(self, text: str) -> int:
        if not self.has_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.taken += text
        return len(text)


def test_a_log_goes_on_when_its_disk_has_room_again() -> None:
    disk = _Full()
    log = Unfailing(cast("TextIO", disk), whole=False)
    log.write("lost")
    disk.has_room = True
    log.write("kept")
    assert (disk.taken, log.failure is None) == ("kept", False)
