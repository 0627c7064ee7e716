"""The trial of a box at every start: one that lacks something does not pass, nor gets any work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codebot.domain.ports import Finding
from codebot.sandbox.arguments import Part, View, box_parts
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.held_folder import held_folder
from codebot.sandbox.marks import short_mark
from codebot.sandbox.program import find_bubblewrap
from fakes.egress import NoEgress
from fakes.git_http import git
from fakes.service import KEY

FORBIDDEN = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
"""Begins a command in a user namespace below which there may be no other."""


def changed(name: str, words: tuple[str, ...], view: View) -> list[Part]:
    """Give the parts of a box, with other words in place of those of one part."""
    return [Part(name, words) if part.name == name else part for part in box_parts(view)]


def sandbox_of(folder: Path, lacking: str = "") -> BubblewrapSandbox:
    """Give a sandbox whose boxes lack the filter, or may not write."""

    def parts(view: View) -> list[Part]:
        if lacking == "filter":
            return changed("system call filter", (), view)
        if lacking == "workspace":
            words = ("--ro-bind", view.workspace, "/workspace", "--chdir", "/workspace")
            return changed("workspace", words, view)
        return box_parts(view)

    return BubblewrapSandbox(
        find_bubblewrap(), path="/usr/bin", mark=str(folder), egress=NoEgress(), parts=parts
    )


async def trial(sandbox: BubblewrapSandbox) -> Finding:
    tried, *_ = await sandbox.check()
    return tried


@pytest.mark.parametrize(
    ("lacking", "detail"),
    [
        ("filter", "A box could open a socket to the hypervisor, call the kernel unfiltered."),
        ("workspace", "A box could not write to its workspace."),
    ],
)
async def test_a_box_that_lacks_something_does_not_pass(
    tmp_path: Path, lacking: str, detail: str
) -> None:
    found = await trial(sandbox_of(tmp_path, lacking))
    assert (found.ok, found.required) == (False, True)
    assert found.detail == detail
    assert "CODEBOT_SANDBOX=none" in found.remedy


async def test_a_trial_leaves_another_its_folder_and_a_dead_one_none(tmp_path: Path) -> None:
    prefix = f"codebot-check-{short_mark(str(tmp_path))}-"
    with held_folder(prefix) as held:
        held.with_name(f"{prefix}left").mkdir()
        assert (await trial(sandbox_of(tmp_path))).ok
        assert [*held.parent.glob(f"{prefix}*")] == [held]


async def test_every_limit_is_told_with_its_means(tmp_path: Path) -> None:
    _, limits, _ = await sandbox_of(tmp_path).check()
    for means in (
        *("4096 MiB of memory by watching it", "10240 MiB of disk by watching it"),
        *("512 processes by the kernel", "4096 open files", "CPU time by the kernel"),
        "wall clock and output by the service",
    ):
        assert means in limits.detail


@pytest.mark.parametrize("command", ["serve", "run"])
def test_where_no_box_can_be_made_nothing_begins(tmp_path: Path, command: str) -> None:
    task = json.dumps({"repository_url": str(tmp_path), "description": "Mend it"})
    arguments = ["--task-prompt", task] if command == "run" else []
    git("init", "--quiet", cwd=tmp_path)
    enter = ["unshare", "--user", "--map-root-user", "sh", "-c", FORBIDDEN, "sh"]
    ended = subprocess.run(
        [*enter, sys.executable, "-m", "codebot", command, *arguments],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CODEBOT_API_KEYS": KEY,
            "CODEBOT_LOCAL_REPOS": str(tmp_path),
            "CODEBOT_AGENT": "command:touch begun",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 78
    assert "The box could not be made" in ended.stderr
    assert "sysctl -w user.max_user_namespaces" in ended.stderr
    assert "Starting server" not in ended.stdout
    assert not [*tmp_path.rglob("tree")], "no workspace was made"
