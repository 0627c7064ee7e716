"""Submodules: those of the same forge are there to be read; of the others, it is said why not."""

import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from codebot.domain.outcome import Checkout
from codebot.domain.repository import ForgeKind, RemoteAccess, Repository
from codebot.errors import ChangeRefused, CloneFailed, NothingChanged
from codebot.intake.repository_url import RepositoryRules
from codebot.intake.submodule_url import find_source
from codebot.workspace.places import Places
from fakes.git_http import Fault, git
from fakes.workshop import (
    NAME,
    OWNER,
    Workshop,
    open_workshop,
    record,
    run_in,
    task_id,
    tip,
)

LIB = {"lib.c": "int one;\n", "inc/lib.h": "extern int one;\n"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        rules = RepositoryRules(github_host=shop.server.host, insecure_loopback=True)
        shop.find_source = partial(find_source, rules=rules)
        shop.workspaces = shop.open_workspaces()
        shop.server.create(OWNER, "lib", LIB)
        yield shop


def why(checkout: Checkout) -> dict[str, str]:
    return {gap.path: gap.reason for gap in checkout.gaps}


@pytest.mark.parametrize("kind", ["relative", "absolute", "without .git"])
async def test_a_submodule_of_the_same_forge_is_there_at_its_commit(
    shop: Workshop, kind: str
) -> None:
    pinned = tip(shop, "lib")
    shop.server.commit(OWNER, "lib", {"lib.c": "int two;\n"})
    absolute = shop.server.url(OWNER, "lib")
    url = {
        "relative": "../lib.git",
        "absolute": absolute,
        "without .git": absolute.removesuffix(".git"),
    }[kind]
    record(shop, "vendor/lib", url, pinned)
    checkout = await shop.prepare()
    assert (checkout.submodules, checkout.gaps) == (("vendor/lib",), ())
    sub = checkout.tree / "vendor" / "lib"
    assert {name: (sub / name).read_text() for name in LIB} == LIB
    assert run_in(sub, "rev-parse", "HEAD") == pinned
    assert run_in(sub, "status", "--porcelain") == ""
    assert run_in(checkout.tree, "status", "--porcelain") == ""
    assert run_in(checkout.tree, "submodule", "status").startswith(f"{pinned} vendor/lib")


@pytest.mark.parametrize("name", ["\u00fc" * 100, "/".join("a" * 100), "\u65e5" * 200])
async def test_a_submodule_may_have_a_name_that_is_too_long_for_a_folder(
    shop: Workshop, name: str
) -> None:
    pinned = tip(shop, "lib")
    record(shop, "vendor/lib", "../lib.git", pinned, name=name)
    checkout = await shop.prepare()
    assert (checkout.submodules, checkout.gaps) == (("vendor/lib",), ())
    assert run_in(checkout.tree, "submodule", "status").startswith(f"{pinned} vendor/lib")


async def test_nothing_in_the_workspace_holds_the_credential(shop: Workshop) -> None:
    record(shop, "lib", "../lib.git", tip(shop, "lib"))
    checkout = await shop.prepare()
    token = shop.server.token.encode()
    files = [path for path in checkout.tree.parent.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if token in path.read_bytes()] == []
    assert run_in(checkout.tree / "lib", "remote") == ""


async def test_tools_that_update_submodules_have_nothing_to_fetch(shop: Workshop) -> None:
    record(shop, "lib", "../lib.git", tip(shop, "lib"))
    checkout = await shop.prepare()
    asked = shop.server.fetches
    run_in(checkout.tree, "submodule", "update", "--init", "--recursive")
    assert shop.server.fetches == asked


async def test_submodules_within_submodules_are_there_down_to_a_bound(shop: Workshop) -> None:
    inner = tip(shop, "lib")
    for depth in range(5, 0, -1):
        shop.server.create(OWNER, f"d{depth}", {"here.txt": f"{depth}\n"})
        below = f"../d{depth + 1}.git" if depth < 5 else "../lib.git"
        inner = record(shop, "in", below, inner, into=f"d{depth}")
    record(shop, "in", "../d1.git", inner)
    checkout = await shop.prepare()
    assert checkout.submodules == ("in", "in/in", "in/in/in", "in/in/in/in")
    assert (checkout.tree / "in/in/in/in/here.txt").read_text() == "4\n"
    assert why(checkout) == {"in/in/in/in/in": "is a submodule too many, or too deep"}


async def test_a_commit_that_no_branch_leads_to_is_asked_for_by_its_name(shop: Workshop) -> None:
    path = str(shop.server.path(OWNER, "lib"))
    git("-C", path, "config", "uploadpack.allowAnySHA1InWant", "true")
    gone = shop.server.commit(OWNER, "lib", {"lib.c": "int two;\n"})
    git("-C", path, "update-ref", "refs/heads/main", f"{gone}^")
    record(shop, "lib", "../lib.git", gone)
    checkout = await shop.prepare()
    assert (checkout.tree / "lib" / "lib.c").read_text() == "int two;\n"


HOSTILE = [
    "ext::sh -c 'touch pwned'",
    "file:///etc",
    "/etc",
    "https://evil.example/acme/lib.git",
    "https://user:s3cret-pw@evil.example/acme/lib.git",
    "http://127.0.0.1:1/acme/lib.git",
    "git@evil.example:acme/lib.git",
    "../../../lib.git",
    "../../../../../../etc",
    "../lib.git/../../..",
    "./lib.git",
    "fd::17",
]


@pytest.mark.parametrize("url", HOSTILE)
async def test_any_other_address_is_not_even_asked(shop: Workshop, url: str) -> None:
    record(shop, "lib", url, tip(shop, "lib"))
    checkout = await shop.prepare()
    assert checkout.submodules == ()
    assert why(checkout)["lib"].startswith("is a submodule ")
    assert "s3cret" not in why(checkout)["lib"]
    assert {request.path.split("/")[2] for request, _ in shop.server.answered} == {f"{NAME}.git"}
    assert list((checkout.tree / "lib").iterdir()) == []
    (checkout.tree / "README.md").write_text("changed\n")
    assert [file.path for file in (await shop.collect(checkout)).files] == ["README.md"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("../../hooks", "../lib.git"),
        ("..", "../lib.git"),
        ("lib", "-u./pwned"),
        ("lib", "--upload-pack=touch pwned"),
        ("lib", '"../lib\\n.git"'),
    ],
)
async def test_what_attacks_git_itself_is_refused_before_anything_is_paid(
    shop: Workshop, name: str, url: str
) -> None:
    record(shop, "lib", url, tip(shop, "lib"), name=name)
    with pytest.raises(CloneFailed, match="gitmodules"):
        await shop.prepare()


async def test_what_the_forge_does_not_have_or_show_is_told(shop: Workshop) -> None:
    record(shop, "gone", "../gone.git", tip(shop, "lib"))
    record(shop, "lost", "../lib.git", "1" * 40)
    record(shop, "unnamed", "../lib.git", tip(shop, "lib"))
    tree = shop.root / "person"
    (tree / ".gitmodules").write_text(
        (tree / ".gitmodules").read_text().replace("path = unnamed", "path = other")
    )
    run_in(tree, "commit", "-qm", "Misname", ".gitmodules")
    run_in(tree, "push", "-q", "origin", "HEAD")
    checkout = await shop.prepare()
    assert why(checkout) == {
        "gone": "is a submodule that could not be read from acme/gone",
        "lost": "is a submodule at a commit that acme/lib does not have",
        "unnamed": "is a submodule without an address in .gitmodules",
    }


async def test_a_network_that_fails_is_no_gap(shop: Workshop) -> None:
    record(shop, "lib", "../lib.git", tip(shop, "lib"))
    await shop.prepare()
    shutil.rmtree(shop.mirrors)

    async def unreachable(repository: Repository) -> RemoteAccess:
        for _ in range(9):
            shop.server.fail_next("fetch", Fault(status=503))
        return RemoteAccess(repository.url, shop.forge.token)

    shop.forge.source_access = unreachable  # type: ignore[method-assign]
    with pytest.raises(CloneFailed) as failed:
        await shop.prepare()
    assert failed.value.retry_after is not None


async def test_none_is_brought_where_none_is_wanted(shop: Workshop) -> None:
    record(shop, "lib", "../lib.git", tip(shop, "lib"))
    shop.find_source = None
    shop.workspaces = shop.open_workspaces()
    checkout = await shop.prepare()
    assert why(checkout) == {"lib": "is a submodule, and CODEBOT_SUBMODULES is off"}


# --- what an agent does to one ------------------------------------------------------------------


def _edit_a_file(tree: Path) -> None:
    (tree / "lib" / "lib.c").write_text("int mine;\n")


def _add_a_file(tree: Path) -> None:
    (tree / "lib" / "new.c").write_text("int mine;\n")


def _lose_git(tree: Path) -> None:
    shutil.rmtree(tree / ".git")


def _break_its_git(tree: Path) -> None:
    shutil.rmtree(tree / ".git" / "modules")
    (tree / "lib" / ".git").unlink()


@pytest.mark.parametrize(
    "way",
    [_edit_a_file, _add_a_file, _lose_git, _break_its_git],
    ids=lambda way: way.__name__.strip("_"),
)
async def test_what_is_changed_inside_of_one_stays_there(
    shop: Workshop, way: Callable[[Path], None]
) -> None:
    record(shop, "lib", "../lib.git", tip(shop, "lib"))
    checkout = await shop.prepare()
    way(checkout.tree)
    with pytest.raises(NothingChanged):
        await shop.collect(checkout)
    (checkout.tree / "README.md").write_text("changed\n")
    assert [file.path for file in (await shop.collect(checkout)).files] == ["README.md"]


def _commit_inside(tree: Path) -> None:
    _edit_a_file(tree)
    run_in(tree / "lib", "commit", "-qam", "mine")


def _remove_it(tree: Path) -> None:
    shutil.rmtree(tree / "lib")


def _put_files_in_its_place(tree: Path) -> None:
    run_in(tree, "rm", "-q", "--cached", "lib")
    (tree / "lib" / ".git").unlink()


def _move_it(tree: Path) -> None:
    (tree / "lib").rename(tree / "elsewhere")
    (tree / "elsewhere" / ".git").unlink()


@pytest.mark.parametrize(
    "way",
    [_commit_inside, _remove_it, _put_files_in_its_place, _move_it],
    ids=lambda way: way.__name__.strip("_"),
)
async def test_a_submodule_that_moves_or_goes_is_refused(
    shop: Workshop, way: Callable[[Path], None]
) -> None:
    record(shop, "lib", "../lib.git", tip(shop, "lib"))
    checkout = await shop.prepare()
    way(checkout.tree)
    with pytest.raises(ChangeRefused, match=r"submodule: lib in commit"):
        await shop.collect(checkout)


# --- on this machine ----------------------------------------------------------------------------


async def test_local_submodules_come_from_the_allowed_folders_alone(
    shop: Workshop, tmp_path: Path
) -> None:
    allowed = tmp_path / "repos"
    rules = RepositoryRules(github_host=None, local_roots=(allowed,))
    shutil.copytree(shop.server.path(OWNER, NAME), allowed / "app.git")
    shutil.copytree(shop.server.path(OWNER, "lib"), allowed / "lib.git")
    shutil.copytree(shop.server.path(OWNER, "lib"), tmp_path / "private.git")
    (allowed / "link.git").symlink_to(tmp_path / "private.git")
    app = Repository(ForgeKind.LOCAL, "localhost", "l", "app", "-", allowed / "app.git")

    def found(url: str) -> Path | None:
        source = find_source(url, app, rules)
        return None if source is None else source.repository.path

    assert found("../lib.git") == allowed / "lib.git"
    assert found(str(allowed / "lib.git")) == allowed / "lib.git"
    for url in ("../../private.git", str(tmp_path / "private.git"), "../link.git", "../none.git"):
        assert found(url) is None
    for url in ("https://github.com/acme/lib", "file:///etc", "git@github.com:acme/lib"):
        assert found(url) is None


# --- where tests run ----------------------------------------------------------------------------


async def nested(shop: Workshop) -> Checkout:
    """Give a task whose tree has one submodule within another."""
    shop.server.create(OWNER, "outer", {"outer.c": "int outer;\n"})
    outer = record(shop, "in", "../lib.git", tip(shop, "lib"), into="outer")
    record(shop, "vendor/outer", "../outer.git", outer)
    checkout = await shop.prepare()
    assert checkout.submodules == ("vendor/outer", "vendor/outer/in")
    return checkout


async def test_a_place_for_tests_has_the_submodules_of_the_base(shop: Workshop) -> None:
    checkout = await nested(shop)
    (checkout.tree / "README.md").write_text("changed\n")
    change = await shop.collect(checkout)
    places = Places(shop.git, shop.sandbox)
    for name, commit in (("base", checkout.base_commit), ("change", change.tip_commit)):
        tree = (await places.open(task_id(1), checkout, name, commit, None)).tree
        assert (tree / "vendor/outer/outer.c").read_text() == "int outer;\n"
        assert (tree / "vendor/outer/in/lib.c").read_text() == "int one;\n"
        assert run_in(tree / "vendor/outer/in", "rev-parse", "HEAD") == tip(shop, "lib")
        assert run_in(tree, "status", "--porcelain") == ""
        told = run_in(tree, "submodule", "status", "--recursive").splitlines()
        assert len(told) == 2
        assert not [line for line in told if line.startswith(("-", "+", "U"))]


async def test_no_agent_reaches_the_submodules_of_a_place(shop: Workshop) -> None:
    checkout = await nested(shop)
    sub = checkout.tree / "vendor" / "outer"
    (sub / "outer.c").write_text("int mine;\n")
    (sub / "new.c").write_text("int mine;\n")
    run_in(checkout.tree, "config", "core.fsmonitor", "touch pwned")
    (checkout.tree / ".git" / "modules" / "own").write_text("mine")
    place = await Places(shop.git, shop.sandbox).open(
        task_id(1), checkout, "base", checkout.base_commit, None
    )
    assert sorted(file.name for file in (place.tree / "vendor/outer").iterdir()) == [
        ".git",
        ".gitmodules",
        "in",
        "outer.c",
    ]
    assert (place.tree / "vendor/outer/outer.c").read_text() == "int outer;\n"
    assert not (place.tree / ".git" / "modules" / "own").exists()
    assert "pwned" not in (place.tree / ".git" / "config").read_text()
