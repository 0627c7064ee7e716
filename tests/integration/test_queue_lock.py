import subprocess
import sys
from pathlib import Path

import pytest

from codebot.errors import ConfigError
from codebot.queue.lock import DataDirLock
from fakes.clock import Clock

HOLD = """
import sys
from pathlib import Path
from codebot.queue.lock import DataDirLock
with DataDirLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    program = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_has_the_data_directory_and_since_when(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        DataDirLock(tmp_path / "data").acquire()

    assert f"process {holder.pid} since 2" in refused.value.detail
    assert str(tmp_path / "data") in refused.value.detail
    assert refused.value.hint


def test_a_killed_process_leaves_no_lock_behind(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    holder.kill()
    holder.wait()

    with DataDirLock(tmp_path / "data"):
        pass


def test_a_released_directory_can_be_taken_again(tmp_path: Path) -> None:
    first, second = (DataDirLock(tmp_path, now=Clock()) for _ in range(2))
    first.acquire()
    with pytest.raises(ConfigError, match="2025-11-03T12:00:00Z"):
        second.acquire()

    first.release()
    first.release()

    second.acquire()
    second.release()


def test_a_work_directory_is_locked_by_itself_also_where_it_is_the_data_directory(
    tmp_path: Path,
) -> None:
    with DataDirLock(tmp_path), DataDirLock(tmp_path, setting="CODEBOT_WORK_DIR"):
        with pytest.raises(ConfigError) as refused:
            DataDirLock(tmp_path, setting="CODEBOT_WORK_DIR").acquire()
        assert "CODEBOT_WORK_DIR" in refused.value.hint


def test_a_directory_that_cannot_be_made_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="file/data cannot be used: Not a directory") as refused:
        DataDirLock(tmp_path / "file" / "data").acquire()

    assert "CODEBOT_DATA_DIR" in refused.value.hint


def test_a_directory_that_takes_no_files_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()

    with pytest.raises(ConfigError, match="cannot be used: Is a directory"):
        DataDirLock(tmp_path).acquire()
