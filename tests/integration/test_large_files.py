"""What Git LFS keeps is in the tree where the program is installed, and an agent's goes there."""

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from codebot.domain.outcome import Checkout, LargeObject
from codebot.domain.repository import RemoteAccess
from codebot.errors import ChangeRefused, CloneFailed, ForgeUnauthorized, PushRejected
from codebot.lfs.batch import LONGEST_WORDS, Action, Refused
from codebot.lfs.objects import ObjectStore
from codebot.lfs.server import Server, ServerFailed
from codebot.lfs.transfers import LargeFileTransfers
from codebot.network import pace
from codebot.publish.branch import push_branch
from codebot.workspace.limits import Limits
from codebot.workspace.means import Means
from codebot.workspace.places import Places
from fakes.connection import answering
from fakes.git_http import git
from fakes.large_files import TICKET, pointer_to
from fakes.permits import a_permit
from fakes.story import MENDS, PASSES, Act, open_story
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in, task_id

PICTURE = b"\x89PNG\0\r\n" + bytes(range(256)) * 400
NEW = b"\x89PNG\0new\r\n" + bytes(range(255)) * 300
ATTRIBUTES = "*.png filter=lfs diff=lfs merge=lfs -text\n"


WAYS = {
    "direct": {"boxed": False},
    "boxed": {"boxed": True},
    "overlay": {"boxed": True, "means": Means.OVERLAY},
}


@pytest.fixture(params=WAYS)
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path, None, **WAYS[request.param]) as shop:
        give(shop, {"logo.png": PICTURE})
        yield shop


def give(shop: Workshop, large: dict[str, bytes], **others: str) -> None:
    """Commit large files, and the objects of them, as somebody with Git LFS does."""
    pointers = {path: shop.server.large_files.keep(content) for path, content in large.items()}
    files = {".gitattributes": ATTRIBUTES, "README.md": "hello\n"} | others
    shop.server.commit(OWNER, NAME, files | pointers)


def as_agent(shop: Workshop, checkout: Checkout, *command: str) -> str:
    """Run a command in the tree with the HOME that an agent has; give its stdout."""
    env = {"PATH": os.environ["PATH"], "HOME": str(checkout.home)}
    done = subprocess.run(
        command, cwd=checkout.tree, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_contents_are_in_the_tree_and_for_git_nothing_changed(shop: Workshop) -> None:
    checkout = await shop.prepare()
    assert (checkout.tree / "logo.png").read_bytes() == PICTURE
    assert checkout.gaps == ()
    assert as_agent(shop, checkout, "git", "status", "--porcelain") == ""
    (checkout.tree / "logo.png").touch()
    assert as_agent(shop, checkout, "git", "status", "--porcelain") == ""


async def test_each_object_is_fetched_once_for_all_tasks(shop: Workshop) -> None:
    await shop.prepare(1)
    asked = len(shop.server.requests_for_large_files)
    checkout = await shop.prepare(2)
    assert (checkout.tree / "logo.png").read_bytes() == PICTURE
    assert len(shop.server.requests_for_large_files) == asked == 2


async def test_an_agents_file_goes_out_as_a_pointer_and_its_content_to_the_forge(
    shop: Workshop,
) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "logo.png").write_bytes(NEW)
    (checkout.tree / "more.png").write_bytes(NEW + b"more")
    change = await shop.collect(checkout)
    texts = shop.files_of(checkout, change.tip_commit)
    assert texts["logo.png"] + "\n" == pointer_to(NEW)
    assert texts["more.png"] + "\n" == pointer_to(NEW + b"more")
    transfers, own = LargeFileTransfers(), ObjectStore.of(checkout.repository)
    access = shop.server.access(OWNER, NAME)
    for _ in range(2):  # done twice, it changes nothing
        await transfers.send(a_permit(), change.large_objects, access, own)
    shelf = shop.server.large_files
    assert {NEW, NEW + b"more"} <= set(shelf.kept.values())
    assert sorted(shelf.verified) == sorted(one.oid for one in change.large_objects)
    sent = [one for one in shop.server.requests_for_large_files if one.method == "PUT"]
    assert len(sent) == 2
    assert {one.headers["authorization"] for one in sent} == {TICKET}


async def test_what_the_agent_commits_itself_goes_through_git_lfs(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "new.png").write_bytes(NEW)
    as_agent(shop, checkout, "git", "add", "-A")
    as_agent(
        *(shop, checkout, "git", "-c", "user.name=a", "-c", "user.email=a@b"),
        *("commit", "-qm", "Add a picture"),
    )
    change = await shop.collect(checkout)
    assert [one.size for one in change.large_objects] == [len(NEW)]
    assert shop.files_of(checkout, change.tip_commit)["new.png"] + "\n" == pointer_to(NEW)


async def test_a_place_for_tests_has_the_contents_of_the_change(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "new.png").write_bytes(NEW)
    change = await shop.collect(checkout)
    places = Places(shop.git, shop.sandbox)
    place = await places.open(task_id(1), checkout, "change", change.tip_commit, None)
    assert (place.tree / "new.png").read_bytes() == NEW
    assert (place.tree / "logo.png").read_bytes() == PICTURE


async def test_a_file_that_nobody_touched_is_no_change(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "README.md").write_text("hello again\n")
    shutil.rmtree(checkout.tree / ".git")
    change = await shop.collect(checkout)
    assert [file.path for file in change.files] == ["README.md"]
    assert change.large_objects == ()


# --- What cannot be had, and what is not true ------------------------------------------------


def why(checkout: Checkout) -> dict[str, str]:
    return {gap.path: gap.reason for gap in checkout.gaps}


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path, None) as shop:
        yield shop


def _commit(shop: Workshop, pointer: str, **others: str) -> None:
    files = {".gitattributes": ATTRIBUTES, "a.png": pointer, "README.md": "hello\n"}
    shop.server.commit(OWNER, NAME, files | others)


def _lie(shop: Workshop, content: bytes) -> str:
    pointer = pointer_to(PICTURE)
    shop.server.large_files.lies[pointer.split("sha256:")[1][:64]] = content
    return pointer


def _never_there(shop: Workshop) -> str:
    return pointer_to(b"nobody has this")


def _other_content(shop: Workshop) -> str:
    return _lie(shop, PICTURE[:-1] + b"?")


def _too_much_content(shop: Workshop) -> str:
    return _lie(shop, PICTURE + b"?")


def _too_little_content(shop: Workshop) -> str:
    return _lie(shop, PICTURE[:-1])


def _absurd_size(shop: Workshop) -> str:
    shop.server.large_files.keep(PICTURE)
    return pointer_to(PICTURE, 10**17)


def _wrong_size(shop: Workshop) -> str:
    shop.server.large_files.keep(PICTURE)
    return pointer_to(PICTURE, len(PICTURE) - 1)


def _switched_off(shop: Workshop) -> str:
    shop.server.large_files.refuses += [(403, "Git LFS is disabled for this repository.")]
    return pointer_to(PICTURE)


def _points_elsewhere(shop: Workshop) -> str:
    shop.server.large_files.points_to = "http://127.0.0.1:1"
    return shop.server.large_files.keep(PICTURE)


def _points_to_a_file(shop: Workshop) -> str:
    shop.server.large_files.points_to = "file:///etc"
    return shop.server.large_files.keep(PICTURE)


def _names_a_header(header: object) -> Callable[[Workshop], str]:
    def say(shop: Workshop) -> str:
        shop.server.large_files.header = header
        return shop.server.large_files.keep(PICTURE)

    return say


def _points_to_no_address(shop: Workshop) -> str:
    shop.server.large_files.points_to = "https://a\n"
    return shop.server.large_files.keep(PICTURE)


NOT_SENT = "it names an address or a header that cannot be sent"


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (_points_to_no_address, NOT_SENT),
        (_names_a_header({"X-A": "\u65e5"}), NOT_SENT),
        (_names_a_header({"\u65e5": "a"}), NOT_SENT),
        (_names_a_header({"X-A": "a\r\nX-B: c"}), NOT_SENT),
        (_names_a_header({"X-A": 3}), "its answer about large files makes no sense"),
        (_never_there, "the forge answered 404: Object does not exist"),
        (_other_content, "its content is not what its pointer names"),
        (_too_much_content, "its content is larger than its pointer says"),
        (_too_little_content, "its content is smaller than its pointer says"),
        (_absurd_size, "it is larger than 512 MiB"),
        (_wrong_size, "its content is larger than its pointer says"),
        (_switched_off, "answered 403: Git LFS is disabled for this repository."),
        (_points_elsewhere, "it points to an address that is not spoken to"),
        (_points_to_a_file, "it points to an address that is not spoken to"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
async def test_what_cannot_be_had_stays_a_pointer_and_is_told(
    plain: Workshop, way: Callable[[Workshop], str], reason: str
) -> None:
    pointer = way(plain)
    _commit(plain, pointer)
    checkout = await plain.prepare()
    assert (checkout.tree / "a.png").read_text() == pointer
    assert why(checkout)["a.png"].startswith("holds a pointer of Git LFS, not its content: ")
    assert why(checkout)["a.png"].endswith(reason)
    assert as_agent(plain, checkout, "git", "status", "--porcelain") == ""
    (checkout.tree / "a.png").touch()
    assert as_agent(plain, checkout, "git", "status", "--porcelain") == ""


async def test_no_more_is_brought_than_there_is_room_for(tmp_path: Path) -> None:
    limits = Limits(max_large_total_bytes=len(PICTURE) + len(NEW))
    async with open_workshop(tmp_path, None, limits) as shop:
        give(shop, {"a.png": PICTURE, "b.png": NEW, "c.png": NEW + b"c", "d.png": PICTURE})
        checkout = await shop.prepare()
        assert list(why(checkout)) == ["c.png"]
        assert (checkout.tree / "d.png").read_bytes() == PICTURE


@pytest.mark.parametrize(
    "content",
    [
        b"raw, as somebody without Git LFS committed it",
        pointer_to(PICTURE).encode() + b"x-more yes\n",
        pointer_to(PICTURE).replace("sha256:", "md5:").encode(),
        pointer_to(PICTURE).encode() + b"\0" * 2000,
        b"",
    ],
    ids=["raw", "more keys", "another hash", "long", "empty"],
)
async def test_what_is_no_pointer_is_left_as_it_is(plain: Workshop, content: bytes) -> None:
    _commit(plain, content.decode())
    checkout = await plain.prepare()
    assert (checkout.tree / "a.png").read_bytes() == content
    assert plain.server.requests_for_large_files == []


async def test_another_server_in_lfsconfig_is_not_asked_and_told(plain: Workshop) -> None:
    plain.server.large_files.keep(PICTURE)
    where = "[lfs]\n\turl = http://127.0.0.1:1/evil\n\tfetchexclude = *\n"
    _commit(plain, pointer_to(PICTURE), **{".lfsconfig": where})
    checkout = await plain.prepare()
    assert (checkout.tree / "a.png").read_bytes() == PICTURE
    assert why(checkout) == {
        ".lfsconfig": "names a server; only the forge's own is asked for large files"
    }


async def test_the_credential_goes_to_the_forge_and_its_ticket_with_the_content(
    shop: Workshop,
) -> None:
    await shop.prepare()
    asked, fetched = shop.server.requests_for_large_files
    assert asked.headers["authorization"].startswith("Basic ")
    assert fetched.headers["authorization"] == TICKET


async def test_no_header_is_no_header_however_it_is_spelled(plain: Workshop) -> None:
    _commit(plain, _names_a_header(None)(plain))
    assert (await plain.prepare()).gaps == ()


async def test_what_a_server_says_is_one_line_and_has_an_end() -> None:
    refused = Refused(code=507, message="no room\nfor it" + "!" * 5000)
    assert refused.words.startswith("no room for it!!")
    assert len(refused.words) <= LONGEST_WORDS


async def test_a_large_file_that_comes_in_drops_is_asked_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "WINDOW", 0.3)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with answering(drip) as port:
        url = f"http://127.0.0.1:{port}"
        async with Server(RemoteAccess(url), lambda _: None) as server:
            with pytest.raises(ServerFailed, match="did not answer in time") as failed:
                [_ async for _ in server.get(Action(href=f"{url}/x"))]
    assert failed.value.retry_after is not None


async def test_without_a_ticket_the_forge_itself_gets_the_credential(plain: Workshop) -> None:
    plain.server.large_files.gives_tickets = False
    give(plain, {"a.png": PICTURE})
    assert (await plain.prepare()).gaps == ()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_server_that_is_tired_is_asked_again_later(plain: Workshop, status: int) -> None:
    give(plain, {"a.png": PICTURE})
    plain.server.large_files.refuses += [(status, "not now")]
    with pytest.raises(CloneFailed, match="not now") as failed:
        await plain.prepare()
    assert failed.value.retry_after is not None
    assert (await plain.prepare()).gaps == ()


# --- What an agent may not do ----------------------------------------------------------------


def _raw(tree: Path) -> None:
    (tree / "new.png").write_bytes(NEW)
    blob = run_in(tree, "hash-object", "-w", "--no-filters", "new.png")
    run_in(tree, "update-index", "--add", "--cacheinfo", f"100644,{blob},new.png")
    run_in(tree, "commit", "-qm", "raw")


def _pointer_to_nothing(tree: Path) -> None:
    (tree / "new.png").write_text(pointer_to(b"what nobody has"))


def _forged_content(tree: Path) -> None:
    (tree / "new.png").write_text(pointer_to(NEW))
    oid = pointer_to(NEW).split("sha256:")[1][:64]
    place = tree / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4]
    place.mkdir(parents=True)
    (place / oid).write_bytes(b"?" * len(NEW))


@pytest.mark.parametrize(
    "way",
    [_raw, _pointer_to_nothing, _forged_content],
    ids=lambda way: way.__name__.strip("_"),
)
async def test_what_did_not_go_through_git_lfs_is_refused(
    shop: Workshop, way: Callable[[Path], None]
) -> None:
    checkout = await shop.prepare()
    way(checkout.tree)
    with pytest.raises(ChangeRefused, match=r"past Git LFS: new\.png"):
        await shop.collect(checkout)


async def test_settings_of_the_agent_do_not_keep_git_lfs_away(shop: Workshop) -> None:
    checkout = await shop.prepare()
    for key in ("clean", "process", "smudge"):
        as_agent(shop, checkout, "git", "config", f"filter.lfs.{key}", "cat")
    as_agent(shop, checkout, "git", "config", "lfs.storage", "elsewhere")
    (checkout.tree / "new.png").write_bytes(NEW)
    change = await shop.collect(checkout)
    assert [one.size for one in change.large_objects] == [len(NEW)]


async def test_a_credential_in_a_large_file_is_found(plain: Workshop) -> None:
    give(plain, {})
    checkout = await plain.prepare()
    token = b"\nghp_" + b"0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX\n"
    (checkout.tree / "new.png").write_bytes(NEW + token)
    with pytest.raises(ChangeRefused, match=r"credential.*new\.png"):
        await plain.collect(checkout)


async def test_a_large_file_counts_with_its_true_size(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, None, Limits(max_file_bytes=1024 * 1024)) as shop:
        give(shop, {})
        checkout = await shop.prepare()
        (checkout.tree / "new.png").write_bytes(b"0" * 1024 * 1025)
        with pytest.raises(ChangeRefused, match=r"new\.png, a file of more than 1 MiB"):
            await shop.collect(checkout)


# --- Sending ---------------------------------------------------------------------------------


async def _changed(shop: Workshop) -> tuple[Checkout, tuple[LargeObject, ...]]:
    give(shop, {})
    checkout = await shop.prepare()
    (checkout.tree / "new.png").write_bytes(NEW)
    return checkout, (await shop.collect(checkout)).large_objects


@pytest.mark.parametrize(
    ("status", "later"), [(422, False), (507, False), (500, True), (429, True)]
)
async def test_what_the_forge_does_not_take_is_said_and_tried_again_where_that_may_help(
    plain: Workshop, status: int, *, later: bool
) -> None:
    checkout, objects = await _changed(plain)
    plain.server.large_files.refuses += [(status, "no room left")]
    with pytest.raises(PushRejected, match=f"{status}: no room left") as refused:
        await LargeFileTransfers().send(
            a_permit(),
            objects,
            plain.server.access(OWNER, NAME),
            ObjectStore.of(checkout.repository),
        )
    assert (refused.value.retry_after is not None) is later


async def test_a_credential_that_is_refused_is_told_as_such(plain: Workshop) -> None:
    checkout, objects = await _changed(plain)
    access = plain.server.access(OWNER, NAME, token="revoked")
    with pytest.raises(ForgeUnauthorized, match="Large files"):
        await LargeFileTransfers().send(
            a_permit(), objects, access, ObjectStore.of(checkout.repository)
        )


async def test_people_with_git_lfs_get_what_the_agent_made(plain: Workshop) -> None:
    give(plain, {"logo.png": PICTURE})
    checkout = await plain.prepare()
    (checkout.tree / "logo.png").write_bytes(NEW)
    change = await plain.collect(checkout)
    access = plain.server.access(OWNER, NAME)
    own = ObjectStore.of(checkout.repository)
    await LargeFileTransfers().send(a_permit(), change.large_objects, access, own)
    await push_branch(
        plain.git,
        a_permit(),
        repository=checkout.repository,
        commit=change.tip_commit,
        branch="agent/1",
        access=access,
        expected=None,
    )
    clone = await asyncio.to_thread(_clone_with_git_lfs, plain, "agent/1")
    assert (clone / "logo.png").read_bytes() == NEW


async def test_what_people_with_git_lfs_push_is_in_the_tree(plain: Workshop) -> None:
    give(plain, {"logo.png": PICTURE})
    clone = await asyncio.to_thread(_clone_with_git_lfs, plain, "main")
    (clone / "theirs.png").write_bytes(NEW)
    await asyncio.to_thread(_push_with_git_lfs, plain, clone)
    checkout = await plain.prepare()
    assert (checkout.tree / "theirs.png").read_bytes() == NEW
    assert checkout.gaps == ()


def _clone_with_git_lfs(shop: Workshop, branch: str) -> Path:
    _as_person(shop, "git", "lfs", "install", "--skip-repo")
    _as_person(shop, "git", "clone", "-q", "-b", branch, _with_token(shop), "clone")
    return shop.root / "clone"


def _push_with_git_lfs(shop: Workshop, clone: Path) -> None:
    where = ("git", "-C", str(clone))
    _as_person(shop, *where, "add", "-A")
    _as_person(shop, *where, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "Add")
    _as_person(shop, *where, "push", "-q", "origin", "main")


def _with_token(shop: Workshop) -> str:
    url = shop.server.url(OWNER, NAME)
    return url.replace("//", f"//x-access-token:{shop.server.token}@")


def _as_person(shop: Workshop, *command: str) -> None:
    """Run a command as somebody who has Git LFS set up for all repositories."""
    home = shop.root / "person-home"
    home.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        command, cwd=shop.root, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# --- Repositories on this machine ------------------------------------------------------------


async def test_a_folder_gives_its_objects_and_gets_the_new_ones(tmp_path: Path) -> None:
    same = f"[ $(stat -c %s logo.png) = {len(PICTURE)} ]"
    files = {".gitattributes": ATTRIBUTES, "logo.png": pointer_to(PICTURE)}
    act = Act(f"{MENDS}; {same} && cp logo.png new.png && echo more >>new.png")
    tested = f"{PASSES} && {same} && [ $(stat -c %s new.png) = {len(PICTURE) + 5} ]"
    async with open_story(tmp_path, act, files=files, test_command=tested) as story:
        kept = ObjectStore.of(story.origin / ".git")
        await _keep(kept, PICTURE)
        await story.tell()
        assert "checkout.incomplete" not in story.kinds()
        assert story.data("tests.finished")["state"] == "passed"
        new = LargeObject(hashlib.sha256(PICTURE + b"more\n").hexdigest(), len(PICTURE) + 5)
        assert kept.has(new)
        made = git("show", f"{story.new.branch_name}:new.png", cwd=story.origin)
        assert made + "\n" == pointer_to(PICTURE + b"more\n")


async def _keep(store: ObjectStore, content: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await store.put(LargeObject(hashlib.sha256(content).hexdigest(), len(content)), chunks())
