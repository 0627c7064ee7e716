"""The rules of the border on real commits: what is refused, in which words, and what is not."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from codebot.errors import ChangeRefused, PathProtected, SecretFound
from codebot.gateway.registries.authority import open_authority
from codebot.gateway.registries.trust import java_store
from codebot.workspace.limits import Limits
from fakes.git_http import git
from fakes.tokens import PROOF, letters, private_key
from fakes.workshop import FILES, NAME, OWNER, Workshop, open_workshop, run_in

PROTECTED = (".github/workflows/**", "**/CODEOWNERS", ".gitmodules")
LIMITS = Limits(fetch_pauses=(0.01,), protected_paths=PROTECTED)
CI = ".github/workflows/ci.yml"
TOKEN = PROOF["ghp"]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    files = FILES | {CI: "on: push\n", "docs/CODEOWNERS": "* @ada\n", "lib/x.py": "x = 1\n"}
    async with open_workshop(tmp_path, files, LIMITS) as shop:
        yield shop


def commit(tree: Path, message: str = "step") -> str:
    run_in(tree, "add", "-A")
    run_in(tree, "commit", "-q", "--allow-empty", "-m", message)
    return run_in(tree, "rev-parse", "HEAD")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- protected paths ----------------------------------------------------------------------------


def _edit(tree: Path) -> None:
    write(tree / CI, "on: [push, pull_request]\n")


def _add(tree: Path) -> None:
    write(tree / ".github/workflows/more.yml", "on: push\n")


def _delete(tree: Path) -> None:
    (tree / CI).unlink()


def _move_away(tree: Path) -> None:
    (tree / CI).rename(tree / "ci.yml")


def _move_in(tree: Path) -> None:
    (tree / "lib/x.py").rename(tree / "lib/CODEOWNERS")


def _change_the_mode(tree: Path) -> None:
    (tree / CI).chmod(0o755)


def _spell_it_otherwise(tree: Path) -> None:
    write(tree / ".GitHub/Workflows/x.yml", "on: push\n")


def _make_the_folder_a_link(tree: Path) -> None:
    write(tree / "ci/workflows/x.yml", "on: push\n")
    run_in(tree, "rm", "-rq", ".github")
    (tree / ".github").symlink_to("ci")


def _make_the_inner_folder_a_file(tree: Path) -> None:
    run_in(tree, "rm", "-rq", ".github/workflows")
    write(tree / ".github/workflows", "x")


def _make_the_file_a_link(tree: Path) -> None:
    (tree / CI).unlink()
    (tree / CI).symlink_to("../../lib/x.py")


def _add_submodules_by_name(tree: Path) -> None:
    write(tree / ".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = https://git.example/x\n')


WAYS = [
    _edit,
    _add,
    _delete,
    _move_away,
    _move_in,
    _change_the_mode,
    _spell_it_otherwise,
    _make_the_folder_a_link,
    _make_the_inner_folder_a_file,
    _make_the_file_a_link,
    _add_submodules_by_name,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
async def test_a_protected_path_is_not_touched(shop: Workshop, way: Callable[[Path], None]) -> None:
    checkout = await shop.prepare()
    way(checkout.tree)
    with pytest.raises(PathProtected, match=r"in commit [0-9a-f]{12}, which is protected by") as no:
        await shop.collect(checkout)
    assert "CODEBOT_PROTECTED_PATHS" in no.value.hint
    assert no.value.tip_commit == run_in(checkout.tree, "rev-parse", "HEAD")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
async def test_nor_by_a_commit_that_a_later_one_takes_back(
    shop: Workshop, way: Callable[[Path], None]
) -> None:
    checkout = await shop.prepare()
    way(checkout.tree)
    touched = commit(checkout.tree)
    run_in(checkout.tree, "revert", "--no-edit", "HEAD")
    write(checkout.tree / "new.py", "y = 2\n")
    with pytest.raises(PathProtected, match=f"in commit {touched[:12]}"):
        await shop.collect(checkout)


async def test_a_link_where_no_folder_was_is_no_way_around(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, FILES, LIMITS) as shop:
        checkout = await shop.prepare()
        write(checkout.tree / "ci/workflows/x.yml", "on: push\n")
        (checkout.tree / ".github").symlink_to("ci")
        with pytest.raises(PathProtected, match=r"touched \.github in commit"):
            await shop.collect(checkout)


async def test_a_protected_path_of_a_branch_that_was_merged_counts_in_the_whole(
    shop: Workshop,
) -> None:
    theirs = shop.server.commit(OWNER, NAME, {CI: "on: never\n"}, branch="topic")
    checkout = await shop.prepare()
    write(checkout.tree / "new.py", "y = 2\n")
    commit(checkout.tree)
    run_in(checkout.tree, "merge", "-q", "-m", "merge", theirs)
    with pytest.raises(PathProtected, match=r"touched \.github/workflows/ci\.yml, which"):
        await shop.collect(checkout)


async def test_a_merge_that_brings_in_more_than_its_parents_have_is_looked_at(
    shop: Workshop,
) -> None:
    checkout = await shop.prepare()
    tree = checkout.tree
    run_in(tree, "checkout", "-qb", "side")
    write(tree / "side.py", "s = 1\n")
    commit(tree)
    run_in(tree, "checkout", "-q", "main")
    write(tree / "main.py", "m = 1\n")
    commit(tree)
    run_in(tree, "merge", "-q", "--no-commit", "side")
    _edit(tree)
    evil = commit(tree, "merge")
    run_in(tree, "checkout", "-q", checkout.base_commit, "--", CI)
    commit(tree, "take it back")
    with pytest.raises(PathProtected, match=f"in commit {evil[:12]}"):
        await shop.collect(checkout)


async def test_what_is_not_protected_goes_through_beside_it(shop: Workshop) -> None:
    checkout = await shop.prepare()
    write(checkout.tree / ".github/labels.yml", "x")
    write(checkout.tree / "docs/CODEOWNERS.md", "x")
    (checkout.tree / "latest").symlink_to("docs")
    change = await shop.collect(checkout)
    assert len(change.files) == 3


async def test_work_on_an_older_base_goes_through_a_merge_of_the_newer_one(shop: Workshop) -> None:
    """The other branch's older workflow, which a merge brings up to date, is nobody's doing."""
    old = git("-C", str(shop.server.path(OWNER, NAME)), "rev-parse", "main")
    shop.server.commit(OWNER, NAME, {CI: "on: newer\n"})
    checkout = await shop.prepare()
    run_in(checkout.tree, "checkout", "-qb", "side", old)
    write(checkout.tree / "side.py", "s = 1\n")
    commit(checkout.tree)
    run_in(checkout.tree, "merge", "-q", "-m", "merge", checkout.base_commit)
    change = await shop.collect(checkout)
    assert [file.path for file in change.files] == ["side.py"]


# --- submodules and links -----------------------------------------------------------------------


async def test_a_submodule_that_a_later_commit_takes_back_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare()
    entry = f"160000,{checkout.base_commit},libs/inner"
    run_in(checkout.tree, "update-index", "--add", "--cacheinfo", entry)
    run_in(checkout.tree, "commit", "-qm", "in")
    run_in(checkout.tree, "rm", "-q", "--cached", "libs/inner")
    write(checkout.tree / "new.py", "y = 2\n")
    commit(checkout.tree, "out")
    with pytest.raises(ChangeRefused, match=r"submodule: libs/inner in commit"):
        await shop.collect(checkout)


@pytest.mark.parametrize(
    ("links", "where"),
    [
        ({"a": "/etc/passwd"}, "to an absolute path: a in commit"),
        ({"a": "../outside"}, "out of the tree: a"),
        ({"src/a": "../../outside"}, "out of the tree: src/a"),
        ({"a": ".git/config"}, "into .git: a"),
        ({"d": ".", "a": "d/d/../.."}, "out of the tree: a"),
        ({"a": "a"}, "in circles: a"),
    ],
)
async def test_a_link_that_leaves_the_tree_is_refused(
    shop: Workshop, links: dict[str, str], where: str
) -> None:
    checkout = await shop.prepare()
    for path, target in links.items():
        (checkout.tree / path).symlink_to(target)
    with pytest.raises(ChangeRefused, match=where):
        await shop.collect(checkout)


async def test_a_link_that_a_later_commit_takes_back_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "a").symlink_to("/etc/passwd")
    linked = commit(checkout.tree)
    (checkout.tree / "a").unlink()
    write(checkout.tree / "new.py", "y = 2\n")
    with pytest.raises(ChangeRefused, match=f"a in commit {linked[:12]}"):
        await shop.collect(checkout)


async def test_two_lines_of_work_that_only_together_lead_out_are_refused(shop: Workshop) -> None:
    checkout = await shop.prepare()
    tree = checkout.tree
    (tree / "d").symlink_to("src/deep")
    (tree / "a").symlink_to("d/../..")
    begun = commit(tree)
    run_in(tree, "checkout", "-qb", "side")
    (tree / "d").unlink()
    (tree / "d").symlink_to("src")
    (tree / "a").unlink()
    commit(tree)
    run_in(tree, "checkout", "-q", "main")
    write(tree / "new.py", "y = 2\n")
    commit(tree)
    run_in(tree, "merge", "-q", "--no-commit", "side")
    (tree / "a").symlink_to("d/../..")
    merged = commit(tree, "merge")
    assert begun != merged
    with pytest.raises(ChangeRefused, match=f"out of the tree: a in commit {merged[:12]}"):
        await shop.collect(checkout)


async def test_a_link_of_the_base_that_leaves_is_not_the_agents(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, FILES, LIMITS) as shop:
        first = await shop.prepare(1)
        (first.tree / "old").symlink_to("/usr/share/dict")
        run_in(first.tree, "add", "-A")
        run_in(first.tree, "commit", "-qm", "a person's link")
        run_in(first.tree, "push", "-q", str(shop.server.path(OWNER, NAME)), "HEAD:main")
        checkout = await shop.prepare(2)
        (checkout.tree / "good").symlink_to("README.md")
        assert await shop.collect(checkout, 2)
        (checkout.tree / "copy").symlink_to("/usr/share/dict")
        with pytest.raises(ChangeRefused, match="absolute path: copy"):
            await shop.collect(checkout, 2)


async def test_links_whose_names_are_no_text_are_told_apart(shop: Workshop) -> None:
    checkout = await shop.prepare()
    for name, target in ((b"\xfe", "/etc/passwd"), (b"\xff", "README.md")):
        (checkout.tree / name.decode(errors="surrogateescape")).symlink_to(target)
    with pytest.raises(ChangeRefused, match="absolute path: \ufffd in commit"):
        await shop.collect(checkout)


# --- amounts ------------------------------------------------------------------------------------


async def test_new_files_are_bounded_together(shop: Workshop) -> None:
    shop.limits = Limits(max_total_bytes=1024 * 1024, max_file_bytes=1024 * 1024)
    shop.workspaces = shop.open_workspaces()
    checkout = await shop.prepare()
    for number in range(3):
        write(checkout.tree / f"{number}.txt", str(number) * 500_000)
        commit(checkout.tree)
        if number < 2:
            (checkout.tree / f"{number}.txt").unlink()
    with pytest.raises(ChangeRefused, match="more than 1 MiB in all"):
        await shop.collect(checkout)


# --- credentials --------------------------------------------------------------------------------


async def test_a_credential_is_refused_by_its_place_and_kind_and_not_shown(shop: Workshop) -> None:
    checkout = await shop.prepare()
    write(checkout.tree / "src/app.py", f"print('hi')\nTOKEN = '{TOKEN}'\n")
    with pytest.raises(SecretFound, match=r"ghp_\*\*\* in src/app.py:2 \(GitHub token\)") as no:
        await shop.collect(checkout)
    assert TOKEN[8:] not in no.value.sentence


async def test_a_credential_that_a_later_commit_takes_back_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare()
    write(checkout.tree / "key.pem", private_key())
    commit(checkout.tree)
    (checkout.tree / "key.pem").unlink()
    write(checkout.tree / "new.py", "y = 2\n")
    with pytest.raises(SecretFound, match=r"key\.pem:1 \(private key\)"):
        await shop.collect(checkout)


async def test_a_credential_in_a_files_name_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare()
    write(checkout.tree / "docs" / f"{TOKEN}.txt", "x")
    with pytest.raises(SecretFound, match="a name in docs") as no:
        await shop.collect(checkout)
    assert TOKEN[8:] not in no.value.sentence


async def test_a_comment_or_an_attribute_hides_no_credential(shop: Workshop) -> None:
    checkout = await shop.prepare()
    write(checkout.tree / ".gitattributes", "* -diff binary\n")
    write(checkout.tree / "x.py", f"T = '{TOKEN}'  # pragma: allowlist secret\n")
    with pytest.raises(SecretFound, match=r"x\.py:1"):
        await shop.collect(checkout)


async def test_a_credential_in_a_message_is_masked(shop: Workshop) -> None:
    checkout = await shop.prepare()
    write(checkout.tree / "new.py", "y = 2\n")
    commit(checkout.tree, f"Use {TOKEN}\n\nAnd https://ada:{letters(12)}@git.example/x.")
    change = await shop.collect(checkout)
    said = "\n".join(shop.log_of(checkout, change.tip_commit, "%B"))
    assert said.startswith("Use ***\n\nAnd https://ada:***@git.example/x.")


async def test_a_credential_that_stood_in_the_base_already_betrays_nothing(tmp_path: Path) -> None:
    files = FILES | {
        "tests/data.py": f"TOKEN = '{TOKEN}'\nOTHER = 1\n",
        "tests/key.pem": private_key(),
    }
    async with open_workshop(tmp_path, files, LIMITS) as shop:
        checkout = await shop.prepare()
        write(checkout.tree / "tests/data.py", f"OTHER = 2\n\nTOKEN = '{TOKEN}'\n")
        (checkout.tree / "tests/key.pem").rename(checkout.tree / "moved.pem")
        write(checkout.tree / "copy.py", f"key = '''{private_key()}'''\n")
        assert await shop.collect(checkout)
        write(checkout.tree / "tests/more.py", f"ONE = '{TOKEN}'\nTWO = '{PROOF['npm']}'\n")
        with pytest.raises(SecretFound, match=r"in tests/more\.py:2 \("):
            await shop.collect(checkout)


async def test_a_credential_of_a_branch_that_was_merged_is_not_the_agents(shop: Workshop) -> None:
    theirs = shop.server.commit(OWNER, NAME, {"theirs.py": f"T = '{TOKEN}'\n"}, branch="topic")
    checkout = await shop.prepare()
    write(checkout.tree / "new.py", "y = 2\n")
    commit(checkout.tree)
    run_in(checkout.tree, "merge", "-q", "-m", "merge", theirs)
    assert await shop.collect(checkout)


async def test_a_scan_that_takes_too_long_refuses_the_change(shop: Workshop) -> None:
    shop.limits = Limits(scan_timeout=-LIMITS.scan_timeout)
    shop.workspaces = shop.open_workspaces()
    checkout = await shop.prepare()
    write(checkout.tree / "new.py", "y = 2\n")
    with pytest.raises(ChangeRefused, match="in time"):
        await shop.collect(checkout)


# --- the service's own gateway -------------------------------------------------------------------


def authority_of(shop: Workshop) -> bytes:
    """Give the certificate that boxes of this service trust."""
    return open_authority(shop.root / "authority.pem", lambda: datetime.now(UTC)).pem


def names_the_proxy(shop: Workshop) -> bytes:
    return b"a = 1\nproxy=http://127.0.0.1:3128\n"


def names_the_authoritys_file(shop: Workshop) -> bytes:
    return b"a = 1\ncafile=/run/registries.pem\n"


def holds_a_bundle(shop: Workshop) -> bytes:
    return b"# trusted\n" + authority_of(shop)


def holds_a_bundle_of_windows(shop: Workshop) -> bytes:
    return holds_a_bundle(shop).replace(b"\n", b"\r\n")


def holds_a_store_of_java(shop: Workshop) -> bytes:
    return java_store(authority_of(shop))


@pytest.mark.parametrize(
    "make",
    [
        names_the_proxy,
        names_the_authoritys_file,
        holds_a_bundle,
        holds_a_bundle_of_windows,
        holds_a_store_of_java,
    ],
)
async def test_what_means_something_in_a_box_only_is_refused(
    shop: Workshop, make: Callable[[Workshop], bytes]
) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "lib" / "new").write_bytes(make(shop))
    with pytest.raises(ChangeRefused, match=r"names this service's own gateway in lib/new:\d"):
        await shop.collect(checkout)


async def test_an_address_that_stood_in_the_base_already_is_nobodys_gateway(tmp_path: Path) -> None:
    files = FILES | {"docs/squid.md": "http_port 127.0.0.1:3128\n"}
    async with open_workshop(tmp_path, files, LIMITS) as shop:
        checkout = await shop.prepare()
        write(checkout.tree / "docs/squid.md", "Listen: `http_port 127.0.0.1:3128`\n")
        assert await shop.collect(checkout)
