import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from codebot.domain.repository import RemoteAccess, Repository
from codebot.domain.secret import Secret
from codebot.errors import BranchMissing, CloneFailed, DiskFull, WorkspaceError
from codebot.git.git import Git, GitResult
from codebot.git.trouble import Trouble
from codebot.workspace.clone_errors import clone_failed
from codebot.workspace.fetching import OLD_SINS
from codebot.workspace.file_lock import file_lock
from codebot.workspace.limits import Limits
from codebot.workspace.mirror import MOST_REPLACEMENTS
from fakes.forge import MemoryForge
from fakes.git_http import Fault, git
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, task_id

ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from codebot.workspace.file_lock import file_lock

async def main():
    async with file_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        yield shop


async def test_eight_tasks_at_once_on_a_new_repository_fetch_it_once(shop: Workshop) -> None:
    checkouts = await asyncio.gather(*(shop.prepare(number) for number in range(8)))
    assert shop.server.fetches == 1
    assert len({checkout.tree for checkout in checkouts}) == 8


async def test_eight_tasks_at_once_on_a_mirror_fetch_it_once(shop: Workshop) -> None:
    await shop.prepare(100)
    tip = shop.server.commit(OWNER, NAME, {"later.txt": "x"})
    checkouts = await asyncio.gather(*(shop.prepare(number) for number in range(8)))
    assert shop.server.fetches == 2
    assert {checkout.base_commit for checkout in checkouts} == {tip}


async def test_a_mirror_follows_its_branches_and_nothing_else(shop: Workshop) -> None:
    remote = str(shop.server.path(OWNER, NAME))
    git("-C", remote, "update-ref", "refs/pull/1/head", "main")
    git("-C", remote, "branch", "topic", "main")
    await shop.prepare(1)
    git("-C", remote, "branch", "-D", "topic")
    git("-C", remote, "branch", "topic/deeper", "main")
    await shop.prepare(2)
    refs = git("-C", str(shop.mirror), "for-each-ref", "--format=%(refname)").split()
    kept = [f"refs/codebot/keep/{task_id(number)}" for number in (1, 2)]
    assert refs == [*kept, "refs/heads/main", "refs/heads/topic/deeper"]


async def test_a_base_outlives_its_branch_for_as_long_as_its_task(shop: Workshop) -> None:
    remote = str(shop.server.path(OWNER, NAME))
    tip = shop.server.commit(OWNER, NAME, {"x": "y"}, branch="topic")
    checkout = await shop.prepare(1, "topic")
    git("-C", remote, "branch", "-D", "topic")
    await shop.prepare(2)
    assert git("-C", str(shop.mirror), "rev-parse", f"refs/codebot/keep/{task_id(1)}") == tip
    (checkout.tree / "more").write_text("z")
    assert (await shop.collect(checkout)).base_commit == tip
    await shop.workspaces.remove(task_id(1))
    refs = git("-C", str(shop.mirror), "for-each-ref", "refs/codebot").splitlines()
    assert len(refs) == 1


async def test_mirrors_are_the_services_own(shop: Workshop) -> None:
    await shop.prepare(1)
    for folder in (shop.mirrors, shop.mirror.parent, shop.mirror):
        assert folder.stat().st_mode & 0o777 == 0o700


# --- when it goes wrong -------------------------------------------------------------------------


async def test_a_refused_token_is_replaced_once(shop: Workshop) -> None:
    class Rotating(MemoryForge):
        async def forget_access(self, repository: Repository) -> None:
            await super().forget_access(repository)
            self.token = Secret(shop.server.token)

    shop.forge = Rotating()
    await shop.prepare(1)
    assert len(shop.forge.forgotten) == 1


async def test_a_token_refused_twice_says_so(shop: Workshop) -> None:
    shop.forge.token = Secret("ghs_no_good_at_all")
    with pytest.raises(CloneFailed) as failed:
        await shop.prepare(1)
    assert "Failed to clone repository: authentication failed" in failed.value.detail
    assert failed.value.hint
    assert failed.value.retry_after is None
    assert "ghs_no_good_at_all" not in failed.value.sentence


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=502, method="POST"),
        Fault(status=429),
        Fault(status=200, method="POST"),
        Fault(status=503, method="POST", too_late=True),
    ],
    ids=str,
)
async def test_a_fault_of_the_network_is_got_over(shop: Workshop, fault: Fault) -> None:
    shop.server.fail_next("fetch", fault)
    await shop.prepare(1)
    assert shop.server.faults["fetch"] == []


async def test_a_fault_that_stays_is_worth_another_run(shop: Workshop) -> None:
    for _ in (None, *shop.limits.fetch_pauses):
        shop.server.fail_next("fetch", Fault(status=502, method="POST"))
    with pytest.raises(CloneFailed) as failed:
        await shop.prepare(1)
    assert failed.value.retry_after
    assert not shop.mirror.exists()
    await shop.prepare(1)


async def test_a_server_that_is_gone_is_worth_another_try(shop: Workshop) -> None:
    await shop.prepare(1)
    shop.forge.url = lambda _: "http://127.0.0.1:1/acme/shop.git"
    with pytest.raises(CloneFailed) as failed:
        await shop.prepare(2)
    assert failed.value.retry_after


@pytest.mark.parametrize(
    "fault", [Fault(status=403), Fault(status=404), Fault(status=301)], ids=str
)
async def test_a_refusal_is_final_and_names_a_remedy(shop: Workshop, fault: Fault) -> None:
    for _ in range(1 + MOST_REPLACEMENTS if fault.status == 403 else 1):
        shop.server.fail_next("fetch", fault)
    with pytest.raises(CloneFailed) as failed:
        await shop.prepare(1)
    assert failed.value.retry_after is None
    assert failed.value.hint


async def test_a_fetch_that_hangs_ends_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    limits = Limits(fetch_timeout=timedelta(seconds=0.3))
    async with open_workshop(tmp_path, limits=limits) as shop:
        shop.server.fail_next("fetch", Fault(delay=30))
        with pytest.raises(CloneFailed, match="took too long") as failed:
            await shop.prepare(1)
        assert failed.value.retry_after
        assert not shop.mirror.exists()


async def test_an_empty_repository_is_told_apart_from_a_missing_branch(tmp_path: Path) -> None:
    async with open_workshop(tmp_path / "a", files=None) as empty:
        with pytest.raises(CloneFailed, match="empty"):
            await empty.prepare(1)
    async with open_workshop(tmp_path / "b") as shop:
        with pytest.raises(BranchMissing, match="release/9") as missing:
            await shop.prepare(1, "release/9")
        assert "main" in missing.value.hint


async def test_a_missing_branch_is_not_told_of_branches_of_other_tasks(shop: Workshop) -> None:
    for name in ("u/codebot/abc1234/one", "aside"):
        git("branch", name, "main", cwd=shop.server.path(OWNER, NAME))

    with pytest.raises(BranchMissing) as missing:
        await shop.prepare(1, "release/9")

    assert missing.value.hint == "Name one that does, such as aside, main."


def test_a_certificate_that_is_not_trusted_names_the_setting(shop: Workshop) -> None:
    said = GitResult(128, b"", "server certificate verification failed", Trouble.UNTRUSTED)
    assert "SSL_CERT_FILE" in clone_failed(shop.repository, said).hint


@pytest.mark.parametrize("trouble", [Trouble.UNREACHABLE, Trouble.TIMED_OUT])
def test_a_fetch_that_is_given_up_says_what_to_do(shop: Workshop, trouble: Trouble) -> None:
    failed = clone_failed(shop.repository, GitResult(128, b"", "no route", trouble))

    assert failed.retry_after
    assert "submit the task again" in failed.hint


async def test_a_full_disk_is_called_so(shop: Workshop, tmp_path: Path) -> None:
    says_so = "!echo 'fatal: write error: No space left on device' >&2; false"

    class FullDisk(Git):
        """Fetches with a git that says what git says on a full disk."""

        async def run(self, *args: str, **how: Any) -> GitResult:
            if "fetch" in args:
                return await super().run("full", settings=[("alias.full", says_so)], check=False)
            return await super().run(*args, **how)

    shop.git = FullDisk(home=tmp_path / "git-home")
    with pytest.raises(DiskFull):
        await shop.open_workspaces().prepare(
            task_id(1), shop.repository, None, shop.forge, work_branch="w"
        )


async def test_a_folder_that_cannot_be_made_is_an_error_with_a_name(shop: Workshop) -> None:
    shop.mirrors.write_text("a file in the way")
    with pytest.raises(WorkspaceError, match="mirrors"):
        await shop.prepare(1)


# --- after a crash ------------------------------------------------------------------------------


async def test_a_clone_that_was_killed_is_made_anew(shop: Workshop) -> None:
    """Kill -9 a whole process in the middle of its first clone, then clone here."""
    shop.server.fail_next("fetch", Fault(delay=30, method="POST"))
    code = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from codebot.domain.secret import Secret
from codebot.git.git import Git
from codebot.workspace.mirror import Mirrors
from codebot.domain.repository import ForgeKind, Repository
from codebot.workspace.limits import Limits
from fakes.forge import MemoryForge

repository = Repository(ForgeKind.GITHUB, {shop.server.host!r}, {OWNER!r}, {NAME!r},
                        {shop.server.url(OWNER, NAME)!r})
forge = MemoryForge()
forge.token = Secret({shop.server.token!r})
mirrors = Mirrors(Git(home=Path({str(shop.root / "other-home")!r})), Path({str(shop.mirrors)!r}),
                  Limits())
asyncio.run(mirrors.refresh(repository, forge))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await wait_until(lambda: not shop.server.faults["fetch"])
    process.send_signal(SIGKILL)
    await process.wait()
    assert shop.mirror.with_suffix(".new").exists()
    assert not shop.mirror.exists()
    checkout = await asyncio.wait_for(shop.prepare(1), 20)
    assert (checkout.tree / "README.md").read_text() == "hello\n"
    assert not shop.mirror.with_suffix(".new").exists()


@pytest.mark.parametrize(
    "damage",
    ["no HEAD", "no objects", "empty pack", "empty ref"],
)
async def test_a_damaged_mirror_is_made_anew(shop: Workshop, damage: str) -> None:
    await shop.prepare(1)
    shop.server.commit(OWNER, NAME, {"later.txt": "x"})
    _do_damage(shop.mirror, damage)
    checkout = await shop.prepare(2)
    assert (checkout.tree / "later.txt").exists()
    git("-C", str(shop.mirror), "fsck", "--connectivity-only")


async def test_a_damaged_mirror_stays_for_as_long_as_tasks_stand_on_it(shop: Workshop) -> None:
    first = await shop.prepare(1)
    objects = os.open(shop.mirror / "objects", os.O_RDONLY)  # as a box has it before it
    before = sorted(os.listdir(objects))  # noqa: PTH208  by a descriptor
    shop.server.commit(OWNER, NAME, {"later.txt": "x"})
    (shop.mirror / "refs" / "heads" / "main").write_text("")
    await shop.prepare(2)

    assert sorted(os.listdir(objects)) == before  # noqa: PTH208
    os.close(objects)
    kept = git("-C", str(shop.mirror), "for-each-ref", "--format=%(objectname)", "refs/codebot/")
    assert first.base_commit in kept.split()
    assert len(replaced(shop)) == 1

    await shop.workspaces.remove(task_id(1))
    assert replaced(shop) == []


async def test_a_base_that_only_a_damaged_mirror_has_is_brought_over(shop: Workshop) -> None:
    there = shop.server.path(OWNER, NAME)
    first = await shop.prepare(1)
    shop.server.commit(OWNER, NAME, {"later.txt": "x"})
    tree = git("rev-parse", "main^{tree}", cwd=there).strip()
    git(
        "update-ref",
        "refs/heads/main",
        git("commit-tree", "-m", "Anew", tree, cwd=there).strip(),
        cwd=there,
    )
    (shop.mirror / "refs" / "heads" / "main").write_text("")

    await shop.prepare(2)

    git("-C", str(shop.mirror), "cat-file", "-e", f"{first.base_commit}^{{tree}}")


def replaced(shop: Workshop) -> list[Path]:
    return list(shop.mirror.parent.glob("*.old*"))


def _do_damage(mirror: Path, damage: str) -> None:
    match damage:
        case "no HEAD":
            (mirror / "HEAD").unlink()
        case "no objects":
            shutil.rmtree(mirror / "objects")
            (mirror / "objects").mkdir()
        case "empty pack":
            for file in (mirror / "objects").rglob("*"):
                if file.is_file():
                    file.chmod(0o600)
                    file.write_bytes(b"")
        case "empty ref":
            (mirror / "refs" / "heads" / "main").write_text("")


@pytest.mark.parametrize(
    "lock", ["refs/heads/main.lock", "refs/heads/gone.lock", "packed-refs.lock"]
)
async def test_a_lock_that_a_killed_git_left_goes_and_who_stands_on_the_mirror_notices_nothing(
    shop: Workshop, lock: str
) -> None:
    there = shop.server.path(OWNER, NAME)
    git("branch", "gone", cwd=there)
    await shop.prepare(1)
    before = shop.mirror.stat().st_ino
    shop.server.commit(OWNER, NAME, {"later.txt": "x"})
    git("branch", "-D", "gone", cwd=there)
    (shop.mirror / lock).parent.mkdir(parents=True, exist_ok=True)
    (shop.mirror / lock).touch()
    checkout = await shop.prepare(2)
    assert (checkout.tree / "later.txt").exists()
    assert shop.mirror.stat().st_ino == before
    assert list(shop.mirror.rglob(f"codebot/keep/{task_id(1)}")) != []


async def test_packs_of_a_killed_fetch_are_swept_away(shop: Workshop) -> None:
    await shop.prepare(1)
    leftover = shop.mirror / "objects" / "pack" / "tmp_pack_x1"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half a pack")
    await shop.prepare(2)
    assert not leftover.exists()


async def test_another_process_on_the_same_mirror_is_waited_for(shop: Workshop) -> None:
    await shop.prepare(1)
    lock = str(shop.mirror.with_suffix(".lock"))
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ANOTHER_PROCESS, lock),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    waiting = asyncio.create_task(shop.prepare(2))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    assert shop.server.fetches == 1
    other.stdin.close()
    await waiting
    assert shop.server.fetches == 2
    await other.wait()


async def test_old_sins_in_a_repository_are_forgiven_and_traps_are_not(shop: Workshop) -> None:
    remote = shop.server.path(OWNER, NAME)
    _commit_tree(remote, "100644 README", branch="old", name="zero", mode=b"0100644")
    await shop.prepare(1, "old")
    _commit_tree(remote, "trap", branch="trap", name=".git", mode=b"100644")
    for number in (2, 3):  # the second time, the mirror knows it already
        with pytest.raises(CloneFailed, match=r"hasDotgit"):
            await shop.prepare(number, "trap")


async def test_every_sin_that_is_forgiven_is_one_that_git_knows(shop: Workshop) -> None:
    await shop.prepare(1)
    fetched = await shop.git.run(
        *("fetch", "--", str(shop.server.path(OWNER, NAME)), "+refs/heads/*:refs/x/*"),
        cwd=shop.mirror,
        access=RemoteAccess(str(shop.server.path(OWNER, NAME))),
        settings=[(f"fetch.fsck.{sin}", "ignore") for sin in OLD_SINS],
    )
    assert "unknown" not in fetched.stderr


def _commit_tree(remote: Path, content: str, *, branch: str, name: str, mode: bytes) -> None:
    """Write a commit with a tree that git itself would never make."""
    blob = _hash(remote, "blob", content.encode())
    entry = mode + b" " + name.encode() + b"\0" + bytes.fromhex(blob)
    tree = _hash(remote, "tree", entry)
    who = "Ada <ada@example.org> 1700000000 +0000"
    commit = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nodd\n".encode()
    git("-C", str(remote), "update-ref", f"refs/heads/{branch}", _hash(remote, "commit", commit))


def _hash(remote: Path, kind: str, content: bytes) -> str:
    file = remote / "raw"
    file.write_bytes(content)
    return git("-C", str(remote), "hash-object", "-w", "--literally", "-t", kind, str(file))


async def wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


# --- Room ---------------------------------------------------------------------------------------


async def test_a_mirror_that_no_task_stands_on_can_be_removed_for_room(shop: Workshop) -> None:
    await shop.prepare(1)
    (kept,) = shop.workspaces.kept_mirrors()
    assert kept.size > 0
    assert not kept.evict(), "a task's base is kept there"
    await shop.workspaces.remove(task_id(1))
    assert kept.evict()
    assert not shop.mirror.exists()
    assert (await shop.prepare(2)).mirror == shop.mirror


async def test_a_mirror_that_is_being_fetched_is_left_alone(shop: Workshop) -> None:
    await shop.prepare(1)
    await shop.workspaces.remove(task_id(1))
    (kept,) = shop.workspaces.kept_mirrors()
    async with file_lock(shop.mirror.with_suffix(".lock")):
        assert not kept.evict()
    assert kept.evict()


async def test_a_base_that_is_kept_among_packed_names_counts(shop: Workshop) -> None:
    await shop.prepare(1)
    git("-C", str(shop.mirror), "pack-refs", "--all")
    (kept,) = shop.workspaces.kept_mirrors()
    assert not kept.evict()
