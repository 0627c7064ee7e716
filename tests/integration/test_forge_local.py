"""Folders as a forge: what a folder can look like."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codebot.domain.outcome import NewPullRequest
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.task import TaskId
from codebot.errors import ForgeForbidden, ForgeNotFound
from codebot.forge.local.forge import LocalForge
from codebot.git.git import Git
from codebot.store.store import Store
from fakes.clock import Clock
from fakes.git_http import git
from fakes.permits import a_permit

TASK = TaskId("0193c0de-0000-7000-8000-00000abc1234")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "store.db")
    yield store
    await store.close()


def local_forge(store: Store, tmp_path: Path, public_url: str = "") -> LocalForge:
    return LocalForge(
        git=Git(home=tmp_path / "git-home"),
        pull_requests=store.pull_requests,
        now=Clock(),
        public_url=public_url,
    )


def a_repository(tmp_path: Path, *options: str) -> Repository:
    folder = tmp_path / "shop"
    git("init", "-q", "-b", "trunk", *options, str(folder))
    return Repository(ForgeKind.LOCAL, "localhost", "local", "shop", str(folder), folder)


async def test_an_empty_repository_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ForgeNotFound, match="no commits"):
        await local_forge(store, tmp_path).default_branch(a_repository(tmp_path))


async def test_a_detached_head_says_so(store: Store, tmp_path: Path) -> None:
    repository = a_repository(tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=repository.path)
    git("checkout", "-q", "--detach", cwd=repository.path)
    with pytest.raises(ForgeNotFound, match="detached"):
        await local_forge(store, tmp_path).default_branch(repository)


async def test_a_bare_repository_serves_as_well(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    git("init", "-q", "-b", "main", str(tmp_path / "origin"))
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=tmp_path / "origin")
    git("clone", "-q", "--bare", str(tmp_path / "origin"), str(folder))
    repository = Repository(ForgeKind.LOCAL, "localhost", "local", "shop", str(folder), folder)
    assert await local_forge(store, tmp_path).default_branch(repository) == "main"


@pytest.mark.parametrize("options", [(), ("--bare",)])
async def test_a_folder_that_takes_no_branch_says_so_before_the_work(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    repository, forge = a_repository(tmp_path, *options), local_forge(store, tmp_path)
    assert (await forge.write_access(repository)).url == repository.url
    may = os.access  # to root all is writable but what is mounted so
    monkeypatch.setattr(os, "access", lambda path, mode: mode & os.W_OK == 0 and may(path, mode))
    with pytest.raises(ForgeForbidden, match=r"takes no branch of ours: .*objects cannot"):
        await forge.write_access(repository)


async def test_the_command_that_shows_a_pull_request_takes_any_name(
    store: Store, tmp_path: Path
) -> None:
    repository = a_repository(tmp_path)
    base, head = """it's $(touch "$HOME"/x)&`id`;#1""".replace(" ", "-"), "u/codebot/1/mend"
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=repository.path)
    git("branch", base, cwd=repository.path)
    git("checkout", "-q", "-b", head, cwd=repository.path)
    git("commit", "-q", "--allow-empty", "-m", "Mend it", cwd=repository.path)
    new = NewPullRequest("Mend", "Body", head, base, draft=False)
    opened = await local_forge(store, tmp_path).open_pull_request(a_permit(), repository, new, TASK)
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    shown = await asyncio.to_thread(
        lambda: subprocess.check_output(["sh", "-c", opened.url], env=environment, text=True)
    )
    assert "Mend it" in shown
    assert "Begin" not in shown
    assert not (tmp_path / "x").exists()


async def test_a_folder_that_is_no_repository_says_so(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    repository = Repository(ForgeKind.LOCAL, "localhost", "local", "plain", str(folder), folder)
    with pytest.raises(ForgeNotFound, match="cannot be read"):
        await local_forge(store, tmp_path).default_branch(repository)


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("http://127.0.0.1:5000/", f"http://127.0.0.1:5000/tasks/{TASK}/pull-request"),
        ("", "git -C {folder} log -p trunk..work"),
    ],
)
async def test_the_pull_request_can_be_looked_at(
    store: Store, tmp_path: Path, public_url: str, expected: str
) -> None:
    repository = a_repository(tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=repository.path)
    git("checkout", "-q", "-b", "work", cwd=repository.path)
    git("commit", "-q", "--allow-empty", "-m", "Work", cwd=repository.path)
    new = NewPullRequest("Work", "Body", "work", "trunk", draft=False)
    opened = await local_forge(store, tmp_path, public_url).open_pull_request(
        a_permit(), repository, new, TASK
    )
    assert opened.url == expected.format(folder=repository.url)
    record = await store.pull_requests.get(TASK)
    assert record is not None
    assert (record.title, record.body, record.head, record.base) == (
        "Work",
        "Body",
        "work",
        "trunk",
    )
