import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.repository import RemoteAccess
from codebot.domain.secret import Secret
from codebot.errors import ConfigError, GitFailed
from codebot.git.git import Git
from codebot.git.trouble import Trouble
from fakes.git_http import Fault, GitServer
from fakes.git_http import git as as_a_person
from fakes.permits import a_permit

TOKEN = "ghs_cAnArYtOkEn1234567890"

SOON_OVER = timedelta(seconds=30)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "remote", token=TOKEN) as server:
        server.create("acme", "shop", {"a.txt": "hi\n"})
        yield server


@pytest.fixture
def host_git(tmp_path: Path) -> Git:
    return Git(home=tmp_path / "git-home")


def test_a_home_that_cannot_be_made_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="file/git-home cannot be made: Not a directory"):
        Git(home=tmp_path / "file" / "git-home")


async def wait_until(what: str, condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.005)


def processes_with(text: bytes) -> set[int]:
    """Find processes whose arguments or environment hold a text."""
    found = set()
    for folder in Path("/proc").iterdir():
        for name in ("cmdline", "environ"):
            try:
                content = (folder / name).read_bytes() if folder.name.isdecimal() else b""
            except OSError:
                continue
            if text in content:
                found.add(int(folder.name))
    return found


def files_with(text: bytes, folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text in path.read_bytes()]


async def test_the_machines_own_settings_reach_no_git_of_ours(
    host_git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[codebot]\n\tcanary = global\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "codebot.canary")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "environment")
    as_a_person("init", "-q", str(tmp_path))
    as_a_person("-C", str(tmp_path), "config", "codebot.canary", "repository above")
    listed = await host_git.run("config", "--list", "--show-origin")
    assert "canary" not in listed.text
    assert "core.hookspath=/dev/null" in listed.text


async def test_a_failure_says_the_command_and_gits_words(host_git: Git) -> None:
    with pytest.raises(GitFailed, match="git rev-parse failed: fatal: not a git repository"):
        await host_git.run("rev-parse", "HEAD")
    assert (await host_git.run("rev-parse", "HEAD", check=False)).code == 128


async def test_stdin_of_any_size_reaches_the_command(host_git: Git) -> None:
    hashed = await host_git.run("hash-object", "--stdin", stdin=b"x" * 3_000_000)
    assert len(hashed.text) == 40


async def test_output_is_read_up_to_its_bound(host_git: Git, server: GitServer) -> None:
    path = server.path("acme", "shop")
    server.commit("acme", "shop", {"big": "x" * 200_000})
    with pytest.raises(GitFailed, match="more output than is read"):
        await host_git.run("cat-file", "blob", "main:big", cwd=path, max_output=1000)
    cut = await host_git.run("cat-file", "blob", "main:big", cwd=path, max_output=1000, check=False)
    assert (cut.truncated, len(cut.stdout)) == (True, 1000)


async def test_time_runs_out_for_git_and_its_children(host_git: Git, server: GitServer) -> None:
    access = server.access("acme", "shop")
    server.fail_next("fetch", Fault(delay=30))
    begun = time.monotonic()
    ended = await host_git.run(
        *("ls-remote", "--", access.url),
        access=access,
        timeout=timedelta(seconds=0.3),
        check=False,
    )
    assert ended.trouble is Trouble.TIMED_OUT
    assert time.monotonic() - begun < 5
    async with asyncio.timeout(1):  # what SIGKILL hit is still being taken down by the kernel
        while processes_with(access.url.encode()):  # noqa: ASYNC110 - other processes end
            await asyncio.sleep(0.01)


async def test_git_is_asked_to_end_before_it_is_killed(host_git: Git, tmp_path: Path) -> None:
    tidied = tmp_path / "tidied"
    waits = f"!trap 'touch {tidied}; exit' TERM; sleep 30 & wait"
    ended = await host_git.run(
        "waits",
        settings=[("alias.waits", waits)],
        timeout=timedelta(seconds=0.3),
        check=False,
    )
    assert ended.trouble is Trouble.TIMED_OUT
    assert tidied.exists()


async def test_a_cancelled_call_leaves_no_process(host_git: Git, server: GitServer) -> None:
    access = server.access("acme", "shop")
    server.fail_next("fetch", Fault(delay=30))
    call = asyncio.create_task(host_git.run("ls-remote", "--", access.url, access=access))
    await wait_until("git runs", lambda: len(processes_with(access.url.encode())) >= 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await wait_until("git is gone", lambda: not processes_with(access.url.encode()))


# --- the token ----------------------------------------------------------------------------------


async def test_the_token_is_in_no_argument_and_no_environment(
    host_git: Git, server: GitServer, tmp_path: Path
) -> None:
    access = server.access("acme", "shop")
    mirror = tmp_path / "mirror.git"
    await host_git.run("init", "-q", "--bare", str(mirror))
    for service in ("fetch", "push"):
        server.fail_next(service, Fault(delay=0.3, method="POST"))
    forms = [TOKEN.encode(), base64.b64encode(f"x-access-token:{TOKEN}".encode())]
    seen: set[int] = set()
    leaked: set[int] = set()

    async def watch() -> None:
        while True:
            seen.update(processes_with(access.url.encode()))
            for form in forms:
                leaked.update(processes_with(form))
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    await host_git.run(
        *("fetch", "-q", "--", access.url, "+refs/heads/*:refs/heads/*"), cwd=mirror, access=access
    )
    words = ("-q", "--", access.url, "refs/heads/main:refs/heads/copy")
    await host_git.push(a_permit(), *words, cwd=mirror, access=access, timeout=SOON_OVER)
    watching.cancel()
    assert server.tip("acme", "shop", "copy")
    assert len(seen) >= 4, "the watch saw too little of git to prove anything"
    assert not leaked
    assert not files_with(TOKEN.encode(), tmp_path)


async def test_the_watch_would_find_a_token_in_the_environment(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "sleep", "30", env={"PATH": os.environ["PATH"], "X": TOKEN}
    )
    try:
        await wait_until("found", lambda: processes_with(TOKEN.encode()) == {process.pid})
    finally:
        process.kill()
        await process.wait()


async def test_a_token_is_for_its_own_host_only(host_git: Git, tmp_path: Path) -> None:
    async with (
        GitServer(tmp_path / "a", token=TOKEN) as ours,
        GitServer(tmp_path / "b", token=TOKEN) as other,
    ):
        other.create("acme", "shop", {"a": "b"})
        asked = await host_git.run(
            *("ls-remote", "--", other.url("acme", "shop")),
            access=RemoteAccess(ours.url("acme", "shop"), Secret(TOKEN)),
            check=False,
        )
    assert asked.trouble is Trouble.UNAUTHORIZED
    assert all("authorization" not in request.headers for request, _ in other.answered)


async def test_a_token_does_not_follow_a_redirection(host_git: Git, server: GitServer) -> None:
    access = server.access("acme", "shop")
    server.fail_next("fetch", Fault(status=301))
    moved = await host_git.run("ls-remote", "--", access.url, access=access, check=False)
    assert moved.trouble is Trouble.MOVED


async def test_a_wrong_token_ends_at_once_and_is_not_shown(
    host_git: Git, server: GitServer
) -> None:
    access = server.access("acme", "shop", token="ghs_wrong_token")
    refused = await host_git.run("ls-remote", "--", access.url, access=access, check=False)
    assert refused.trouble is Trouble.UNAUTHORIZED
    assert "ghs_wrong_token" not in refused.stderr


async def test_one_command_may_ask_for_the_token_more_than_once(
    host_git: Git, server: GitServer, tmp_path: Path
) -> None:
    access = server.access("acme", "shop")
    script = (
        "printf 'protocol=http\\nhost=%s\\n\\n' | git credential fill >/dev/null"
        " && printf 'protocol=http\\nhost=%s\\n\\n' | git credential approve &&"
    ).replace("%s", server.host)
    settings = [("alias.asks", f"!{script} git ls-remote -- {access.url} >/dev/null")]
    await host_git.run("asks", access=access, settings=settings)


# --- folders as remotes -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'a "folder" of ours'
    folder.mkdir()
    as_a_person("init", "-q", "-b", "main", str(folder))
    as_a_person("-C", str(folder), "commit", "-q", "--allow-empty", "-m", "first")
    return folder


@pytest.mark.parametrize("owner", ["ours", "someone else's"])
async def test_an_allowed_folder_is_read_and_pushed_to_whoever_owns_it(
    tmp_path: Path, folder: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Git's own test variable stands in for another owner: making one takes root.
    variables = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": str(int(owner != "ours"))}
    monkeypatch.setattr("codebot.git.environment._way", lambda _url, _proxies: variables)
    host_git = Git(home=tmp_path / "home")
    access = RemoteAccess(str(folder))
    listed = await host_git.run("ls-remote", "--", access.url, access=access)
    assert "refs/heads/main" in listed.text
    words = ("-q", "--", access.url, "main:refs/heads/x")
    pushing = host_git.push(
        a_permit(), *words, cwd=folder / ".git", access=access, timeout=SOON_OVER
    )
    assert (await pushing).code == 0
    assert "x" in as_a_person("-C", str(folder), "branch", "--list", "x")


async def test_a_folder_is_not_reachable_for_a_command_without_access(
    host_git: Git, folder: Path
) -> None:
    refused = await host_git.run("ls-remote", "--", str(folder), check=False)
    assert "transport 'file' not allowed" in refused.stderr


async def test_nothing_else_than_the_url_is_reachable(
    host_git: Git, folder: Path, server: GitServer
) -> None:
    access = server.access("acme", "shop")
    refused = await host_git.run("ls-remote", "--", str(folder), access=access, check=False)
    assert "transport 'file' not allowed" in refused.stderr


async def test_a_call_cancelled_while_it_starts_leaves_no_process(
    host_git: Git, server: GitServer
) -> None:
    access = server.access("acme", "shop")
    for turns in range(12):
        server.fail_next("fetch", Fault(delay=30))
        call = asyncio.create_task(host_git.run("ls-remote", "--", access.url, access=access))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, 5)
        await wait_until("git is gone", lambda: not processes_with(access.url.encode()))


async def test_git_in_a_folder_that_is_gone_fails_by_its_name(
    host_git: Git, tmp_path: Path
) -> None:
    with pytest.raises(GitFailed, match=f"{tmp_path}/gone is not there"):
        await host_git.run("rev-parse", "HEAD", cwd=tmp_path / "gone")


async def test_nobody_pushes_without_a_permit(host_git: Git, folder: Path) -> None:
    with pytest.raises(TypeError, match="permit"):
        await host_git.run("push", "--", str(folder), "main:x", cwd=folder / ".git")


@pytest.mark.parametrize("bare", [True, False])
async def test_a_new_repository_is_what_git_init_makes(
    host_git: Git, tmp_path: Path, *, bare: bool
) -> None:
    end = "" if bare else "/.git"
    for name in ("one", "two"):
        await host_git.init(tmp_path / f"{name}{end}", bare=bare, branch="ünï/x#1")
    kind = ["--bare"] if bare else []
    init = ("init", "-q", "--template=", "--initial-branch=ünï/x#1")
    as_a_person(*init, *kind, str(tmp_path / "real"))
    expected = content_of(tmp_path / "real")
    assert content_of(tmp_path / "one") == content_of(tmp_path / "two") == expected
    assert list((tmp_path / "git-home").iterdir()) == [], "nothing is left in the service's folder"


def content_of(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
