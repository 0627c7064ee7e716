"""Temporary folders whose owners cannot see each other's processes."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from codebot.sandbox.held_folder import LOCK, held_folder

PREFIX = "codebot-run-"
HOLDER = f"""
from codebot.sandbox.held_folder import held_folder
with held_folder({PREFIX!r}) as folder:
    (folder / "store").touch()
    print(folder, flush=True)
    input()
"""
NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def holder(temporary: Path, *around: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Give a process that holds a folder, and the folder."""
    command = [*around, sys.executable, "-c", HOLDER]
    env = {"TMPDIR": str(temporary), "PATH": os.environ["PATH"]}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())


def test_what_a_dead_one_left_hinders_nobody_however_deep_it_is(temporary: Path) -> None:
    left = temporary / f"{PREFIX}left"
    left.mkdir()
    here = os.open(left, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with held_folder(PREFIX):
        assert not left.exists()


def test_a_folder_goes_with_all_that_is_in_it(temporary: Path) -> None:
    with held_folder(PREFIX) as folder:
        (folder / "some").mkdir()
        (folder / "some/thing").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert [*temporary.iterdir()] == []


def test_two_that_share_tmp_but_not_their_pids_leave_each_other_alone(temporary: Path) -> None:
    with (
        holder(temporary, *NAMESPACE) as (_, first),
        holder(temporary, *NAMESPACE) as (_, second),
        held_folder(PREFIX) as third,
    ):
        assert {*temporary.iterdir()} == {first, second, third}
        assert (first / "store").exists()
    assert [*temporary.iterdir()] == []


def test_what_a_killed_process_held_is_removed_by_the_next(temporary: Path) -> None:
    with holder(temporary) as (process, left):
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (left / "store").exists()
    with held_folder(PREFIX) as folder:
        assert [*temporary.iterdir()] == [folder]


def test_a_program_that_was_started_meanwhile_holds_nothing(temporary: Path) -> None:
    with held_folder(PREFIX) as folder:
        daemon = subprocess.Popen(["sleep", "60"], close_fds=False)
        (temporary / f"{PREFIX}kept").mkdir()
        (folder / LOCK).rename(temporary / f"{PREFIX}kept" / LOCK)
    try:
        with held_folder(PREFIX) as folder:
            assert [*temporary.iterdir()] == [folder]
    finally:
        daemon.kill()
        daemon.wait()


def test_what_is_no_folder_of_this_user_stays(temporary: Path) -> None:
    precious = temporary / "precious"
    precious.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(precious)
    (temporary / f"{PREFIX}file").touch()
    with held_folder(PREFIX):
        pass
    assert len([*temporary.iterdir()]) == 3
    assert [*precious.iterdir()] == []


def test_many_at_once_never_take_one_that_is_held(temporary: Path) -> None:
    wrong = []

    def hold_again_and_again() -> None:
        for _ in range(50):
            with held_folder(PREFIX) as folder:
                (folder / "store").touch()
                if not (folder / LOCK).exists():
                    wrong.append(folder)

    threads = [Thread(target=hold_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [*temporary.iterdir()] == []
