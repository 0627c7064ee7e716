"""Which command runs a Node project's tests: the script `test`, its own or its packages'. Pure.

What the packages' entries are built of is built before, at the commit that is tested.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from posixpath import normpath
from typing import Any

from codebot.domain.tree import ASIDE, Tree
from codebot.verify.node_script import part_that_tests

LONGEST_MANIFEST = 1024 * 1024
"""Bytes; nobody writes more than that to say how the tests run."""

MOST_MEMBERS = 1000

NPM_PLACEHOLDER = "no test specified"
"""What `npm init` writes where there are no tests; it always fails."""

BERRY = b"__metadata:"
"""What the lock file of Yarn 2 and newer has, and that of Yarn 1 has not."""


@dataclass(frozen=True, slots=True)
class Runner:
    """How a package manager runs the script `test`: of one package, and of all in a workspace."""

    one: str
    all: str
    build: str


NPM = Runner("npm test", "npm test --workspaces --if-present", "npm run build")
YARN = Runner("yarn test", "yarn workspaces foreach --all run test", "yarn run build")
YARN_1 = replace(YARN, all=NPM.all)  # its own `workspaces run` fails at a package without tests
PNPM = Runner("pnpm test", "pnpm --recursive --no-bail test", "pnpm run build")
BUN = Runner("bun run test", "bun run --filter '*' test", "bun run build")
NOT_BUILT = "echo 'Not built. The tests may do without.'"
SCRIPTS = (".js", ".mjs", ".cjs")
MOST_TEXTS = 200
_BUILDS = re.compile(r"build|compile|bundle|tsc|tsup|rollup|webpack|turbo|nx |tshy|unbuild")
AT_SET_UP = ("prepare", "postinstall")
BEFORE_TESTS = ("test", "pretest", *AT_SET_UP)
LERNA = "npx lerna run --no-bail test"


def node_test(tree: Tree) -> str:
    """Give the command for the tests of the top folder, else of all packages; "" for none."""
    manifest = read_manifest(tree, "package.json")
    if manifest is None:
        return ""
    return _built_before(tree, manifest, _test(tree, manifest))


def node_tests_after(tree: Tree, command: str) -> str:
    """Give a command with the Node project's tests after it, "" where there are none of those.

    Both are run, and the first failure is the end's: where a test of the first fails on the base,
    the second would never have been tried. What the packages are built of is built before both: no
    failure may be lost in what the second does without, and the first may import the same files.
    """
    manifest = read_manifest(tree, "package.json")
    test = "" if manifest is None else _test(tree, manifest)
    if manifest is None or not test:
        return ""
    first = f"({command})" if "&&" in command else command  # which may leave the folder
    both = f"{first} || ended=$?; {test} && (exit ${{ended:-0}})"
    return _built_before(tree, manifest, both, AT_SET_UP)


def node_part_that_tests(tree: Tree) -> str:
    """Give what of the top folder's script tests, where it checks other things, too; else ""."""
    manifest = read_manifest(tree, "package.json") or {}
    scripts = manifest.get("scripts")
    if not isinstance(scripts, dict):
        return ""
    texts = {name: script for name, script in scripts.items() if isinstance(script, str)}
    run = _runner(tree).build.removesuffix(" build")
    return _built_before(tree, manifest, part_that_tests(texts, run=run))


def read_manifest(tree: Tree, path: str) -> dict[str, Any] | None:
    """Give what a manifest in JSON says, None where it is none that can be read."""
    content = tree.contents.get(path, b"")
    if len(content) > LONGEST_MANIFEST:
        return None
    try:
        found = json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _test(tree: Tree, manifest: dict[str, Any]) -> str:
    runner = _runner(tree)
    return runner.one if _has_test(manifest) else _of_packages(tree, manifest, runner)


def _of_packages(tree: Tree, manifest: dict[str, Any], runner: Runner) -> str:
    """Give the command for the tests of all packages, "" where none has any."""
    if not any(_has_test(read_manifest(tree, path)) for path in _members(tree)):
        return ""
    if _is_workspace(tree, manifest):
        return runner.all
    return LERNA if "lerna.json" in tree.paths else ""


def _is_workspace(tree: Tree, manifest: dict[str, Any]) -> bool:
    return "pnpm-workspace.yaml" in tree.paths or bool(manifest.get("workspaces"))


def _built_before(
    tree: Tree, manifest: dict[str, Any], test: str, by: tuple[str, ...] = BEFORE_TESTS
) -> str:
    """Give a command with what builds the packages before it, where none of these scripts does."""
    paths = _members(tree) if _is_workspace(tree, manifest) else ()
    packages = {"package.json": manifest, **{path: read_manifest(tree, path) for path in paths}}
    if test and _must_be_built(tree, manifest, packages, by):
        return f"{_runner(tree).build} || {NOT_BUILT}; {test}"
    return test


def _must_be_built(
    tree: Tree,
    manifest: dict[str, Any],
    packages: Mapping[str, dict[str, Any] | None],
    by: tuple[str, ...],
) -> bool:
    """Say whether a script makes what tests may import, and none of those `by` which it may be."""
    if not _script(manifest, "build"):
        return False
    if any(_BUILDS.search(_script(manifest, name)) for name in by):
        return False
    return any(_is_unbuilt(tree, path, package or {}) for path, package in packages.items())


def _is_unbuilt(tree: Tree, path: str, package: dict[str, Any]) -> bool:
    """Say whether a package's entry is a file that the repository has not."""
    folder = path.rpartition("/")[0]
    entries = islice(
        _texts([package.get(key) for key in ("main", "module", "exports")]), MOST_TEXTS
    )
    files = (normpath(f"{folder}/{entry}").lstrip("/") for entry in entries if "*" not in entry)
    return any(file not in tree.paths for file in files if file.endswith(SCRIPTS))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Give all texts within a value, however deep they are."""
    left = [value]
    while left:
        found = left.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict | list):
            left += found.values() if isinstance(found, dict) else found


def _script(manifest: dict[str, Any], name: str) -> str:
    scripts = manifest.get("scripts")
    script = scripts.get(name) if isinstance(scripts, dict) else None
    return script if isinstance(script, str) else ""


def _has_test(manifest: dict[str, Any] | None) -> bool:
    script = _script(manifest or {}, "test")
    return bool(script.strip()) and NPM_PLACEHOLDER not in script


def _runner(tree: Tree) -> Runner:
    """Give the package manager that a lock file belongs to; npm where there is none of another."""
    if "pnpm-lock.yaml" in tree.paths:
        return PNPM
    if "yarn.lock" in tree.paths:
        return YARN if BERRY in tree.contents.get("yarn.lock", b"") else YARN_1
    return BUN if {"bun.lock", "bun.lockb"} & tree.paths else NPM


def _members(tree: Tree) -> Iterator[str]:
    """Give the manifests of the packages below the top folder."""
    found = sorted(path for path in tree.paths if path.endswith("/package.json"))
    return (path for path in found[:MOST_MEMBERS] if ASIDE.isdisjoint(path.split("/")))
