import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.child import ending

DEMO = [sys.executable, "-m", "codebot", "demo"]
pytestmark = pytest.mark.e2e


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)} | more


def test_the_demo_shows_the_whole_way(tmp_path: Path) -> None:
    ended = subprocess.run(
        DEMO, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    shown = ended.stdout

    assert ended.returncode == 0, shown + ended.stderr
    assert ended.stderr == ""
    assert "The model is NOT real" in shown
    for part in (
        "The tests before: they FAIL",
        "What happens",
        "Setting up from uv.lock",
        "  Set up from uv.lock in ",
        "Tests: passed (`uv run --frozen pytest`, 2 tests)",
        '"verified": true',
        '"status": "completed"',
        '"branch_name": "u/codebot/DEMO-1/',
        "-    return sum(prices) - discount_percent",
        "+    return sum(prices) * (100 - discount_percent) / 100",
        "The tests after, on the new branch: they pass",
        "What it took",
        "Where to look",
    ):
        assert part in shown
    assert "\x1b" not in shown
    look = re.search(r"git -C (\S+) log", shown)
    assert look
    log = subprocess.run(["git", "-C", look[1], "log", "--all"], capture_output=True, check=True)
    assert b"Take the discount as a percentage" in log.stdout


def test_a_demo_without_a_registry_says_so_and_goes_on(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/simple"
    env = environment(tmp_path, UV_DEFAULT_INDEX=nowhere, UV_INDEX_URL=nowhere)
    ended = subprocess.run(DEMO, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
    assert "No registry can be reached: the project does without pytest" in ended.stdout
    assert "pyproject.toml" not in ended.stdout
    assert "Tests: passed (`python3 -m unittest`, 2 tests)" in ended.stdout


def test_a_demo_that_fails_shows_the_log_and_is_exit_1(tmp_path: Path) -> None:
    env = environment(tmp_path, CODEBOT_CLAUDE_BIN="/bin/false")
    ended = subprocess.run(DEMO, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert '"status": "failed"' in ended.stdout
    assert "The end of the service's log" in ended.stdout
    assert "Traceback (most recent call last)" not in ended.stderr


def test_a_demo_without_a_box_works_and_says_so(tmp_path: Path) -> None:
    env = environment(tmp_path, CODEBOT_SANDBOX="none")
    ended = subprocess.run(DEMO, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
    assert "There is NO box: CODEBOT_SANDBOX=none" in ended.stdout


def test_a_demo_that_is_ended_takes_its_service_along(tmp_path: Path) -> None:
    started = subprocess.Popen(
        [*DEMO, "--keep"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with ending(started) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "The service runs on" in line:
                break
        demo.terminate()
        rest = demo.stdout.read()  # ends when nobody holds the pipe any more
        code = demo.wait(30)

    assert code == 0, rest
    assert _processes_in(tmp_path) == []


def _processes_in(folder: Path) -> list[str]:
    """The processes that work in or below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cwd = (process / "cwd").readlink()
        except OSError:
            continue
        if cwd.is_relative_to(folder):
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found
