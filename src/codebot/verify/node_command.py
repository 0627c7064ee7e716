"""Which command runs a Node project's tests: the script `test`, its own or its packages'. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codebot.domain.tree import ASIDE, Tree

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


NPM = Runner("npm test", "npm test --workspaces --if-present")
YARN = Runner("yarn test", "yarn workspaces foreach --all run test")
YARN_1 = Runner("yarn test", NPM.all)  # its own `workspaces run` fails at a package without tests
PNPM = Runner("pnpm test", "pnpm --recursive test")
BUN = Runner("bun run test", "bun run --filter '*' test")
LERNA = "npx lerna run test"


def node_test(tree: Tree) -> str:
    """Give the command for the tests of the top folder, else of all packages; "" for none."""
    manifest = read_manifest(tree, "package.json")
    if manifest is None:
        return ""
    runner = _runner(tree)
    if _has_test(manifest):
        return runner.one
    if not any(_has_test(read_manifest(tree, path)) for path in _members(tree)):
        return ""
    if "pnpm-workspace.yaml" in tree.paths or manifest.get("workspaces"):
        return runner.all
    return LERNA if "lerna.json" in tree.paths else ""


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


def _has_test(manifest: dict[str, Any] | None) -> bool:
    scripts = (manifest or {}).get("scripts")
    script = scripts.get("test") if isinstance(scripts, dict) else None
    return isinstance(script, str) and bool(script.strip()) and NPM_PLACEHOLDER not in script


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
