"""What tools leave in a tree is left out of its commits, by their marks; what people made never."""

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from codebot.errors import NothingChanged
from fakes.workshop import Workshop, open_workshop, run_in

CACHEDIR = "Signature: 8a477f597d28d172789f06886806bc55\n"

FILES = {
    ".gitignore": "*.log\nignored/\n",
    "app/util.py": "x = 1\n",
    "src/lib.py": "x = 1\n",
    "main.c": "int main(void) { return 0; }\n",
    "lib/part.cc": "// part\n",
    "src/Shop.java": "class Shop {}\n",
    "fast/_speed.pyx": "x = 1\n",
    "configure.ac": "AC_INIT\n",
    "rebar.config": "{deps, []}.\n",
    "dune/dune-project": "(lang dune 3.0)\n",
    "go.mod": "module shop\n",
    "paper.tex": "Hello.\n",
    "package.json": "{}\n",
    "Cargo.toml": "[package]\n",
    "pom.xml": "<project/>\n",
    "build.gradle.kts": "plugins {}\n",
    "pyproject.toml": "[project]\n",
    "kept/node_modules/dep/index.js": "1\n",
    "kept/package.json": "{}\n",
    "kept/__pycache__/old.pyc": "x",
    "plain/README": "no tool's settings here\n",
}

ARTEFACTS = {
    "env/pyvenv.cfg": "env",
    "tools/deep/my env/pyvenv.cfg": "tools/deep/my env",
    "conda/conda-meta/history": "conda",
    "app/__pycache__/util.cpython-311.pyc": "app/__pycache__",
    "new/package/__pycache__/x.cpython-313.opt-1.pyc": "new/package/__pycache__",
    "app/util.pyc": "app/util.pyc",
    "src/shop.egg-info/PKG-INFO": "src/shop.egg-info",
    ".coverage": ".coverage",
    ".coverage.host.1234.XyZabc": ".coverage.host.1234.XyZabc",
    "anything/CACHEDIR.TAG": "anything",
    ".mypy_cache/3.11/x.json": ".mypy_cache",
    ".pytest_cache/v/x": ".pytest_cache",
    "sub/.tox/py311/x": "sub/.tox",
    "node_modules/left-pad/index.js": "node_modules",
    "web/node_modules/.package-lock.json": "web/node_modules",
    "web2/node_modules/.modules.yaml": "web2/node_modules",
    "target/debug/app": "target",
    "target/classes/A.class": "target",
    "build/libs/app.jar": "build",
    ".gradle/8.5/checksums.lock": ".gradle",
    "out/CMakeCache.txt": "out",
    "CMakeFiles/x/progress.make": "CMakeFiles",
    "builddir/meson-private/coredata.dat": "builddir",
    "vendor/composer/installed.json": "vendor",
    "build/lib/app/util.py": "build/lib",
    "build/lib/lib.py": "build/lib",
    "dist/shop-1.0-py3-none-any.whl": "dist/shop-1.0-py3-none-any.whl",
    "coverage/lcov-report/index.html": "coverage",
    "main.o": "main.o",
    "lib/part.lo": "lib/part.lo",
    "src/Shop.class": "src/Shop.class",
    "src/Shop$Inner.class": "src/Shop$Inner.class",
    "fast/_speed.cpython-311-x86_64-linux-gnu.so": "fast/_speed.cpython-311-x86_64-linux-gnu.so",
    ".yarn/install-state.gz": ".yarn/install-state.gz",
    ".yarn/cache/x-npm-1.0.zip": ".yarn/cache",
    ".pnp.cjs": ".pnp.cjs",
    ".svelte-kit/output/x": ".svelte-kit",
    ".phpunit.result.cache": ".phpunit.result.cache",
    "coverage/.last_run.json": "coverage",
    "web/test-results/.last-run.json": "web/test-results",
    "docs/_build/html/.buildinfo": "docs/_build/html",
    "out/.ninja_log": "out",
    ".deps/main.Po": ".deps",
    "config.status": "config.status",
    "_build/default/lib/x.beam": "_build",
    "dune/_build/log": "dune/_build",
    "default.profraw": "default.profraw",
    "coverage.out": "coverage.out",
    "app/util.py.orig": "app/util.py.orig",
    "app/util.py.rej": "app/util.py.rej",
    "main.c~": "main.c~",
    "paper.aux": "paper.aux",
    "docs/.DS_Store": "docs/.DS_Store",
    "a [b]*/__pycache__/ünï.pyc": "a [b]*/__pycache__",
}

NAMED = 20
"""No more of what is left out are named."""

WORK = (
    *("env/settings.py", "venv/__init__.py", "build/__init__.py", "build/config.gradle"),
    *("dist/index.js", "dist/bundle.tar.gz.txt", "plain/target/debug/x", "plain/build/libs/x"),
    *("plain/target/classes/x", "plain/node_modules/x.js", "lib/build/lib/other.py"),
    *("obj/Debug/x", "vendor/lib/x.c", "coverage/notes.md", "other.o", "alone.pyc", "out/x.txt"),
    *("tests/fixtures/app/package.json", "tests/fixtures/app/node_modules/dep/index.js"),
    *("package-lock.json", "Cargo.lock", ".coveragerc", "cache/x", "CACHEDIR.TAG", "pyvenv.cfg"),
    *(
        "alone.class",
        "lib/config.status",
        "lib/coverage.out",
        "plain/_build/default/x",
        "notes.orig",
    ),
    *(
        "alone.so",
        "alone.aux",
        ".yarn/releases/yarn.cjs",
        ".yarn/patches/x.patch",
        "docs/_build.md",
    ),
    *("kept/node_modules/new/index.js", "kept/__pycache__/new.pyc", "x.egg-info.md"),
)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path, FILES) as shop:
        yield shop


def put(tree: Path, *paths: str, text: str = CACHEDIR) -> None:
    for path in paths:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)


def run_python(tree: Path, *module: str) -> None:
    subprocess.run([sys.executable, "-m", *module], cwd=tree, check=True)


async def test_each_artefact_is_left_out_with_its_folder_and_named(shop: Workshop) -> None:
    for number, artefacts in enumerate(_apart(ARTEFACTS), 1):
        checkout = await shop.prepare(number)
        put(checkout.tree, *artefacts, "work.txt")
        change = await shop.collect(checkout, number)
        assert [file.path for file in change.files] == ["work.txt"]
        assert sorted(change.left_out) == sorted(artefacts.values())
        assert all((checkout.tree / path).exists() for path in artefacts), "they stay for the tests"
        assert run_in(checkout.tree, "status", "--porcelain") == ""


def _apart(artefacts: Mapping[str, str]) -> list[dict[str, str]]:
    """Give them in as few trees as keep each by itself: none has its place in what another is."""
    trees: list[dict[str, str]] = []
    for path, named in artefacts.items():
        for tree in trees:
            if len(tree) < NAMED and not any(_meet(named, other) for other in tree.values()):
                tree[path] = named
                break
        else:
            trees.append({path: named})
    return trees


def _meet(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


@pytest.mark.parametrize("committed", [False, True])
async def test_work_that_only_looks_like_it_is_kept(shop: Workshop, *, committed: bool) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, *WORK)
    if committed:
        run_in(checkout.tree, "add", "--all")
        run_in(checkout.tree, "commit", "-qm", "Work")
    change = await shop.collect(checkout)
    assert {file.path for file in change.files} == set(WORK)
    assert change.left_out == ()


async def test_what_the_agent_committed_of_it_is_in_none_of_its_commits(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "one.txt", "env/pyvenv.cfg")
    (checkout.tree / "env" / "python").symlink_to(sys.executable)
    run_in(checkout.tree, "add", "--all")
    run_in(checkout.tree, "commit", "-qm", "One\n\nWith words.")
    put(checkout.tree, "app/__pycache__/x.pyc")
    run_in(checkout.tree, "add", "--all")
    run_in(checkout.tree, "commit", "-qm", "Nothing but bytecode")
    put(checkout.tree, "two.txt", ".coverage")
    run_in(checkout.tree, "add", "--all")
    change = await shop.collect(checkout, message="Two")

    assert change.left_out == (".coverage", "app/__pycache__", "env")
    assert shop.log_of(checkout, change.tip_commit) == ["One", "Two"]
    assert "With words." in shop.log_of(checkout, change.tip_commit, "%b")
    where = ("-C", str(checkout.repository), "log", "--name-only", "--format=")
    names = run_in(checkout.tree, *where, f"{checkout.base_commit}..{change.tip_commit}")
    assert sorted(names.split()) == ["one.txt", "two.txt"]
    assert run_in(checkout.tree, "rev-parse", "HEAD") == change.agent_commit
    assert await shop.collect(checkout, message="Two") == change


async def test_a_merge_keeps_its_shape_without_it(shop: Workshop) -> None:
    checkout = await shop.prepare()
    run_in(checkout.tree, "checkout", "-q", "-b", "side")
    put(checkout.tree, "side.txt", "env/pyvenv.cfg")
    run_in(checkout.tree, "add", "--all")
    run_in(checkout.tree, "commit", "-qm", "Side")
    run_in(checkout.tree, "checkout", "-q", "main")
    put(checkout.tree, "main.txt")
    run_in(checkout.tree, "add", "--all")
    run_in(checkout.tree, "commit", "-qm", "Main")
    run_in(checkout.tree, "merge", "-q", "--no-ff", "-m", "Both", "side")
    change = await shop.collect(checkout)
    assert change.commits == 3
    assert {file.path for file in change.files} == {"main.txt", "side.txt"}
    parents = run_in(checkout.repository, "log", "-1", "--format=%P", change.tip_commit)
    assert len(parents.split()) == 2


async def test_what_is_committed_although_gitignore_names_it_was_meant(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "ignored/pyvenv.cfg", "work.txt")
    run_in(checkout.tree, "add", "--force", "ignored")
    run_in(checkout.tree, "commit", "-qm", "On purpose")
    change = await shop.collect(checkout)
    assert {file.path for file in change.files} == {"ignored/pyvenv.cfg", "work.txt"}
    assert change.left_out == ()


async def test_what_is_ignored_is_not_said_to_be_left_out(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "ignored/pyvenv.cfg", "work.txt")
    assert (await shop.collect(checkout)).left_out == ()


async def test_the_bases_own_folder_changes_as_any_other(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "kept/node_modules/dep/index.js", "kept/node_modules/.package-lock.json")
    (checkout.tree / "kept" / "__pycache__" / "old.pyc").unlink()
    change = await shop.collect(checkout)
    assert len(change.files) == 3
    assert change.left_out == ()


async def test_nothing_but_artefacts_is_no_change(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "env/pyvenv.cfg", "app/__pycache__/x.pyc")
    run_in(checkout.tree, "add", "--all")
    run_in(checkout.tree, "commit", "-qm", "Noise")
    with pytest.raises(NothingChanged):
        await shop.collect(checkout)


async def test_a_folder_that_becomes_work_in_a_later_round_is_work(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "env/pyvenv.cfg", "work.txt")
    await shop.collect(checkout)
    (checkout.tree / "env" / "pyvenv.cfg").unlink()
    put(checkout.tree, "env/settings.py")
    change = await shop.collect(checkout)
    assert {file.path for file in change.files} == {"env/settings.py", "work.txt"}


async def test_of_many_some_are_named_and_none_is_taken(shop: Workshop) -> None:
    checkout = await shop.prepare()
    put(checkout.tree, "work.txt", *(f"p{number}/__pycache__/x.pyc" for number in range(300)))
    change = await shop.collect(checkout)
    assert len(change.files) == 1
    assert len(change.left_out) == 20


async def test_a_real_environment_and_real_bytecode_are_left_out(shop: Workshop) -> None:
    checkout = await shop.prepare()
    run_python(checkout.tree, "venv", "--without-pip", "my-env")
    run_python(checkout.tree, "compileall", "-q", "app")
    (checkout.tree / "my-env" / ".gitignore").unlink(missing_ok=True)  # Python 3.13 writes one
    put(checkout.tree, "work.txt")
    change = await shop.collect(checkout)
    assert [file.path for file in change.files] == ["work.txt"]
    assert change.left_out == ("app/__pycache__", "my-env")
