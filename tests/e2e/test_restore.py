"""A backup that `codebot backup` made, put back as the how-to says, while the world went on."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.github_service import Shop, is_over, open_shop, wait_for
from fakes.service import RunningService

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "upgrade-and-backup.md"
AGENT = """cat > /dev/null; echo worked >> ~/count
while ! test -e {go}; do sleep 0.05; done
echo '# mended' >> shop.py
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as shop:
        yield replace(shop, settings={"CODEBOT_SANDBOX": "none", "CODEBOT_MAX_WORKERS": "1"})


def test_what_was_pushed_after_the_backup_is_pushed_by_nobody_again(shop: Shop) -> None:
    go = begin(shop)
    with shop.serve() as service:
        ended, running, waiting = submit_three(shop, service, go)
        copy = back_up(shop.folder)
        go.touch()
        later = shop.submit(service)
        for task_id in (running, waiting, later):
            wait_for(service, task_id, is_over)
    pushed, pulls = shop.git("for-each-ref"), [pull.head for pull in shop.pulls()]
    assert len(pulls) == 4

    restore(shop.folder / "codebot_data", copy)
    shop.work_dir.rename(shop.folder / "lost")
    with shop.serve() as anew:
        for task_id in (running, waiting):
            status = wait_for(anew, task_id, is_over)
            assert "has commits that Codebot did not make" in status["error"]
        assert anew.http.get(f"/api/tasks/{ended}/status").json()["status"] == "completed"
        assert anew.http.get(f"/api/tasks/{later}/status").status_code == 404

    assert shop.git("for-each-ref") == pushed
    assert [pull.head for pull in shop.pulls()] == pulls
    assert shop.launches == 0


def test_what_was_not_over_at_the_backup_is_done_after_it(shop: Shop) -> None:
    go = begin(shop)
    with shop.serve() as service:
        _, running, waiting = submit_three(shop, service, go)
        copy = back_up(shop.folder)
        service.process.kill()
    go.touch()

    restore(shop.folder / "codebot_data", copy)
    with shop.serve() as anew:
        for task_id in (running, waiting):
            assert wait_for(anew, task_id, is_over)["status"] == "completed"

    assert len({pull.head for pull in shop.pulls()}) == len(shop.pulls()) == 3


def begin(shop: Shop) -> Path:
    """Give the file that the agents wait for, which is there."""
    go = shop.folder / "go"
    go.touch()
    shop.agent = AGENT.format(go=go)
    return go


def submit_three(shop: Shop, service: RunningService, go: Path) -> tuple[str, str, str]:
    """Give a task that has ended, one that is worked on, and one that waits for it."""
    ended = shop.submit(service)
    wait_for(service, ended, is_over)
    go.unlink()
    running, waiting = shop.submit(service), shop.submit(service)
    wait_for(service, running, lambda status: status["status"] == "running")
    return ended, running, waiting


def back_up(folder: Path) -> Path:
    """Give a copy, made beside the service."""
    copy = folder / "copy.sqlite3"
    program = [sys.executable, "-m", "codebot", "backup", str(copy)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    subprocess.run(program, cwd=folder, env=env, check=True)
    return copy


def restore(data_dir: Path, copy: Path) -> None:
    """Do what the page says under "Restore", here and as this user."""
    block = re.search(r"(?ms)^## Restore\n\n```console manual\n(.*?)^```", PAGE.read_text())
    assert block is not None
    script = re.sub(r"(?m)^\$ ", "", block[1])
    for theirs, ours in (
        (r"(?m)^sudo systemctl .*$", ""),
        ("sudo ", ""),
        ("-o codebot -g codebot ", ""),
        ("/var/lib/codebot/data", str(data_dir)),
        (r"/var/backups/\S+", str(copy)),
    ):
        script = re.sub(theirs, ours, script)
    subprocess.run(["sh", "-euc", script], check=True)
