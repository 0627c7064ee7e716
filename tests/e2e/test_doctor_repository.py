"""`codebot doctor --repository`, as a person uses it: no model, no settings, real boxes."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "codebot", "doctor", "--repository"]
pytestmark = pytest.mark.e2e


def look_at(
    repository: str, *, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(cwd)} | dict(env or {})
    return subprocess.run(
        [*COMMAND, repository], cwd=cwd, env=given, capture_output=True, text=True, check=False
    )


def make_project(folder: Path, **files: str) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    git = ("git", "-c", "user.name=Me", "-c", "user.email=me@example.com")
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "Begin")):
        subprocess.run([*git, *arguments], cwd=folder, check=True)


def test_a_repository_that_would_be_truly_tested_and_nothing_is_left(tmp_path: Path) -> None:
    make_project(tmp_path / "shop", Makefile="test:\n\ttest -e Makefile\n")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    home = tmp_path / "home"  # npm begins a folder there whatever it is asked
    ended = look_at("shop", cwd=tmp_path, env={"TMPDIR": str(scratch), "HOME": str(home)})

    assert ended.returncode == 0, ended.stderr
    begun, found = ended.stdout.split("\n\n", 1)
    assert begun.splitlines() == [
        f"Fetching {tmp_path}/shop",
        "Running the tests: make test (detected from Makefile)",
    ]
    assert "ok    tests: pass: `make test` (exit code 0)" in found
    assert found.endswith("A change would be truly tested here: yes\n")
    assert list(scratch.iterdir()) == []
    assert {file.name for file in tmp_path.iterdir()} - {"home"} == {"shop", "tmp"}
    tree = subprocess.run(
        ["git", "-C", "shop", "status", "--porcelain", "--branch"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert tree.stdout == "## main\n"


def test_what_is_missing_is_named_and_the_exit_code_says_so(tmp_path: Path) -> None:
    make_project(tmp_path / "shop", Makefile="test:\n\tno-such-tool --all\n")
    ended = look_at("shop", cwd=tmp_path, env={"TMPDIR": tempfile.gettempdir()})

    assert ended.returncode == 1
    assert "the program no-such-tool is not installed where the tests run" in ended.stdout
    assert ended.stdout.endswith("A change would be truly tested here: NO\n")


def test_the_operators_table_counts(tmp_path: Path) -> None:
    make_project(tmp_path / "shop", Makefile="test:\n\tfalse\n")
    table = tmp_path / "environments.toml"
    table.write_text(f'["{tmp_path}/shop"]\nsetup = "echo ready >ready"\ntest = "cat ready"\n')
    env = {"TMPDIR": tempfile.gettempdir(), "CODEBOT_ENVIRONMENTS": str(table)}
    ended = look_at("shop", cwd=tmp_path, env=env)

    assert ended.returncode == 0, ended.stdout
    assert "Setting up from the operator's table\n" in ended.stdout
    assert "ok    tests: pass: `cat ready` (exit code 0)" in ended.stdout


def test_what_is_no_repository_or_no_setting_is_told_apart(tmp_path: Path) -> None:
    nothing = look_at("no/such/folder", cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert f"repository_url is not there, or cannot be read: {tmp_path}/no" in nothing.stderr
    wrong = look_at(".", cwd=tmp_path, env={"CODEBOT_TEST_TIMEOUT": "soon"})
    assert (wrong.returncode, wrong.stdout) == (78, "")
    assert "CODEBOT_TEST_TIMEOUT" in wrong.stderr
