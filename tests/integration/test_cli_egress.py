"""`codebot egress` as a process: beside a service, after it, and where there is nothing to show."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codebot.domain.egress import AccessVerdict
from codebot.domain.task import TaskId
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.egress import AccessTotal
from codebot.store.store import Store, new_uuid7
from fakes.clock import START, Clock
from fakes.tasks import new_task

EVIL = AccessTotal(
    "evil.example", 443, AccessVerdict.REFUSED, "not in CODEBOT_EGRESS", 3, 0, 0, START, START
)


async def open_store(path: Path) -> tuple[Store, TaskId]:
    """Give a store, and a task in it."""
    store = await Store.open(path, now=Clock())
    new = new_task()
    await EmbeddedQueue(store, max_pending=9, now=Clock(), new_id=new_uuid7).submit(new)
    return store, new.id


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "codebot_data" / "codebot.sqlite3"


def egress(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(folder)} | env
    return subprocess.run(
        [sys.executable, "-m", "codebot", "egress", *arguments],
        cwd=folder,
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_it_shows_a_table_while_the_service_has_the_store_open(
    tmp_path: Path, database: Path
) -> None:
    store, task_id = await open_store(database)
    await store.egress.add({task_id: [EVIL]})
    shown = egress(tmp_path, task_id)
    await store.egress.add({task_id: [EVIL]})
    again = egress(tmp_path, task_id, "--json")
    await store.close()

    assert (shown.returncode, shown.stderr) == (0, "")
    heading, row = shown.stdout.splitlines()
    assert heading.split()[:3] == ["VERDICT", "HOST", "PORT"]
    assert row.split()[:4] == ["refused", "evil.example", "443", "3"]
    assert row.endswith("  not in CODEBOT_EGRESS")
    assert [item["count"] for item in json.loads(again.stdout)["items"]] == [6]


async def test_it_shows_what_a_service_left_behind_wherever_that_is(tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where" / "store.sqlite3"
    store, task_id = await open_store(elsewhere)
    await store.egress.add({task_id: [EVIL]})
    await store.close()

    shown = egress(tmp_path, task_id, CODEBOT_DATABASE_URL=f"sqlite:///{elsewhere}")

    assert shown.returncode == 0, shown.stderr
    assert "evil.example" in shown.stdout


async def test_no_access_is_said_in_words(tmp_path: Path, database: Path) -> None:
    store, task_id = await open_store(database)
    await store.close()

    assert egress(tmp_path, task_id).stdout.startswith("Nothing is on record: ")
    assert json.loads(egress(tmp_path, task_id, "--json").stdout) == {"items": []}


async def test_a_task_that_is_not_there_is_exit_2_and_one_line(
    tmp_path: Path, database: Path
) -> None:
    store, _ = await open_store(database)
    await store.close()

    for task in ("any", "", "\udcff", "' OR 1=1 --"):
        ended = egress(tmp_path, task)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("codebot: There is no task ")
        assert ended.stderr.count("\n") == 1


def test_where_there_is_no_store_none_is_made(tmp_path: Path, database: Path) -> None:
    ended = egress(tmp_path, "any")

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"codebot: There is no database {database}. ")
    assert not database.parent.exists()


def test_a_store_that_cannot_be_looked_at_is_no_bug(tmp_path: Path) -> None:
    ended = egress(tmp_path, "any", CODEBOT_DATA_DIR=f"/{'a' * 300}")

    assert ended.returncode == 1
    assert ended.stderr.startswith("codebot: The database /aaa")
    assert "cannot be read" in ended.stderr


async def test_a_secret_of_the_settings_is_not_shown(tmp_path: Path, database: Path) -> None:
    """A service with other settings wrote it down; those of the reader mask it."""
    secret = "canary-4711-secret"
    store, task_id = await open_store(database)
    spoken = replace(EVIL, host=f"{secret}.evil.example", reason=secret)
    await store.egress.add({task_id: [spoken]})
    await store.close()

    shown = egress(tmp_path, task_id, ANTHROPIC_API_KEY=secret).stdout

    assert "***.evil.example" in shown
    assert secret not in shown
