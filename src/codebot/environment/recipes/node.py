"""Node projects: the package manager that they name, and what their lock file says."""

import re
from collections.abc import Iterator
from dataclasses import replace

from codebot.environment.recipes.clues import Clues, at
from codebot.environment.recipes.guess import Family, Guess, guess

TOOLS = "~/.local/bin"
PROGRAMS = "node_modules/.bin"
INSTALL = 'npm install --global --prefix "$HOME/.local" --loglevel=error'
NODE_ENV = {
    "CYPRESS_INSTALL_BINARY": "0",
    "ELECTRON_SKIP_BINARY_DOWNLOAD": "1",
    "HUSKY": "0",
    "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
    "PUPPETEER_SKIP_DOWNLOAD": "1",
    "YARN_ENABLE_TELEMETRY": "0",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
}
"""Browsers and the like come from hosts that are no registries, and a failed download would be the
end of everything else. Nor is there anybody to read of audits and sponsors."""

LOCKS = (
    *("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock"),
    *("bun.lock", "bun.lockb"),
)
DECIDING = ("package.json", ".npmrc", ".yarnrc.yml", "pnpm-workspace.yaml")
MOST_MEMBERS = 1000

HEADERS = """\
node=$(command -v node) && node=$(realpath "$node") && node=${node%/bin/node} || node=
if [ -e "$node/include/node/node.h" ]; then export npm_config_nodedir=$node; fi"""
"""Modules in C++ are built with the headers of the Node that is here, where it came with them:
node-gyp would ask nodejs.org for the same ones."""

NPM_REFUSES_PEERS = """find ~/.npm -name '*eresolve-report.txt' | grep -q ."""
"""npm writes such a report when packages ask for versions of each other that exclude each other. It
installs nothing then; projects that live with it pass a flag (`legacy-peer-deps` in npm's
documentation), and most say so in their CI alone."""

PNPM_ENV = {"COREPACK_ROOT": "none"}
"""Corepack's sign that it has chosen the version: pnpm then fetches no other one of itself."""

PNPM_FOR_OLDER_NODE = 10
"""It reads the lock files of pnpm 11, which needs Node 22 and does not start with another one."""

KEEP_YARN_LOCK = """\
lock=$(mktemp)
cp yarn.lock "$lock"
trap 'cp "$lock" yarn.lock' EXIT"""
"""Newer versions of Yarn install nothing without writing down what: it is put back."""

_MANAGER = re.compile(r"(npm|pnpm|yarn|bun)@(\d[\w.-]*)(?:\+[\w.]+)?")
_BUILDS = re.compile(r"build|compile|bundle|tsc|tsup|rollup|webpack|vite|babel|gyp|make|generate")
_PNPM_OF_LOCK = {"5": "7", "6": "8", "9": "10"}
_YARN_OF_LOCK = {"4": "2", "5": "3", "6": "3"}


NO_SCRIPTS = "--ignore-scripts"
"""A script of one package that fails, since what it downloads is not to be had, keeps all others
from being installed: they are installed without, and then each script is run as far as it works.
That goes before leaving the lock file: to resolve all of it anew takes minutes."""

ANY_NODE = "--ignore-engines"
"""Yarn 1 alone installs nothing where a package is said to be for another Node. The set-up that it
refused tells which; npm and pnpm say so and go on."""

SKIPPED = "echo 'Not every install script ended well. The tests may do without.'"
SCRIPTS_OF_NPM = ("npm rebuild", "npm run prepare --if-present")
SCRIPTS_OF_PNPM = ("pnpm rebuild", "pnpm run --if-present prepare")
SCRIPTS_OF_YARN = ("yarn rebuild",)


def npm(clues: Clues) -> Iterator[Guess]:
    """Guess of `package-lock.json`, or of `package.json` where nothing is locked.

    What another manager has locked, the tests are run by: without it npm's work would be in vain.
    """
    if clues.those("pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"):
        return
    locks = clues.those("package-lock.json", "npm-shrinkwrap.json")
    if locks:
        yield _node(clues, locks[0], _whatever_peers_say("npm ci"), is_locked=True)
        yield _without_scripts(clues, locks[0], _whatever_peers_say(f"npm ci {NO_SCRIPTS}"))
    if clues.has("package.json"):
        unlocked = "npm install --no-package-lock"
        yield _node(clues, "package.json", _whatever_peers_say(unlocked))
        if not locks:
            bare = _whatever_peers_say(f"{unlocked} {NO_SCRIPTS}")
            yield _without_scripts(clues, "package.json", bare)


def pnpm(clues: Clues) -> Iterator[Guess]:
    """Guess of `pnpm-lock.yaml`, and of `package.json` where what is locked cannot be had."""
    if not clues.has("pnpm-lock.yaml"):
        return
    said = re.search(r"^lockfileVersion:\s*'?(\d+)", clues.text("pnpm-lock.yaml"), re.MULTILINE)
    version = _manager(clues, "pnpm") or (_PNPM_OF_LOCK.get(said[1]) if said else None) or "10"
    tool = _tool(f"pnpm@{version}")
    if int(version.partition(".")[0]) > PNPM_FOR_OLDER_NODE:
        tool += f"\npnpm --version >/dev/null 2>&1 || {INSTALL} pnpm@{PNPM_FOR_OLDER_NODE}"
    install = f"{tool}\npnpm install --frozen-lockfile"
    for guessed in (
        _node(clues, "pnpm-lock.yaml", install, is_locked=True),
        _without_scripts(clues, "pnpm-lock.yaml", f"{install} {NO_SCRIPTS}", SCRIPTS_OF_PNPM),
        _node(clues, "package.json", f"{tool}\npnpm install --no-lockfile"),
    ):
        recipe = guessed.recipe
        yield replace(guessed, recipe=replace(recipe, env={**recipe.env, **PNPM_ENV}))


def yarn(clues: Clues) -> Iterator[Guess]:
    """Guess of `yarn.lock`: of Yarn 1, or of a newer one, which goes by another name."""
    if not clues.has("yarn.lock"):
        return
    version = _manager(clues, "yarn") or _yarn_of_lock(clues.text("yarn.lock"))
    if version.startswith("1"):
        tool = _tool(f"yarn@{version}")
        install = f"{tool}\nyarn install --frozen-lockfile"
        yield _node(clues, "yarn.lock", install, is_locked=True)
        yield _without_scripts(clues, "yarn.lock", f"{install} {NO_SCRIPTS} {ANY_NODE}")
        yield _node(clues, "package.json", f"{tool}\nyarn install --no-lockfile")
    else:
        tool = _tool(f"@yarnpkg/cli-dist@{version}")
        install = f"{tool}\nyarn install --immutable"
        yield _node(clues, "yarn.lock", install, is_locked=True)
        bare = f"{install} --mode=skip-build"
        yield _without_scripts(clues, "yarn.lock", bare, SCRIPTS_OF_YARN)
        yield _node(clues, "package.json", f"{tool}\n{KEEP_YARN_LOCK}\nyarn install --no-immutable")


def bun(clues: Clues) -> Iterator[Guess]:
    """Guess of `bun.lock`."""
    locks = clues.those("bun.lock", "bun.lockb")
    if locks:
        version = _manager(clues, "bun") or "1"
        install = f"{_tool(f'bun@{version}')}\nbun install --frozen-lockfile"
        yield _node(clues, locks[0], install, is_locked=True)


def _yarn_of_lock(lock: str) -> str:
    said = re.search(r"^__metadata:\n\s+version:\s*(\d+)", lock, re.MULTILINE)
    return "1" if said is None else _YARN_OF_LOCK.get(said[1], "4")


def _manager(clues: Clues, name: str) -> str | None:
    """Give the version that `packageManager` names, without the hash of the download."""
    said = clues.json("package.json", "packageManager")
    found = _MANAGER.fullmatch(said.strip()) if isinstance(said, str) else None
    return found[2] if found and found[1] == name else None


def _tool(package: str) -> str:
    """Give the line that puts a package manager into HOME, without asking any other host.

    Some versions were only published elsewhere; the newest with the same first number stands in.
    """
    name, _, version = package.rpartition("@")
    major = version.partition(".")[0]
    return f"{INSTALL} {package}" + (f" || {INSTALL} {name}@{major}" if major != version else "")


def _whatever_peers_say(install: str) -> str:
    """Give the lines that install, once more where only peers were in the way."""
    return f"{install} || {{ {NPM_REFUSES_PEERS}; {install} --legacy-peer-deps; }}"


def _members(clues: Clues) -> list[str]:
    """Give the manifests of a workspace's packages, wherever they are."""
    if not (clues.has("pnpm-workspace.yaml") or clues.json("package.json", "workspaces")):
        return []
    found = (path for path in clues.tree.paths if path.endswith("/package.json"))
    return sorted(path for path in found if "node_modules" not in path.split("/"))[:MOST_MEMBERS]


def _without_scripts(
    clues: Clues, source: str, install: str, scripts: tuple[str, ...] = SCRIPTS_OF_NPM
) -> Guess:
    """Guess that nothing but the install scripts is in the way."""
    setup = "\n".join((install, *(f"{script} || {SKIPPED}" for script in scripts)))
    return _node(clues, f"{source} (no install scripts)", setup)


def _builds(clues: Clues) -> bool:
    """Say whether installing builds something of the repository's own."""
    scripts = clues.json("package.json", "scripts")
    said = (at(scripts, name) for name in ("preinstall", "install", "postinstall", "prepare"))
    return any(isinstance(script, str) and _BUILDS.search(script) for script in said)


def _node(clues: Clues, source: str, setup: str, *, is_locked: bool = False) -> Guess:
    keys = {*clues.those(source, *LOCKS, *DECIDING), *_members(clues)}
    return guess(
        Family.NODE,
        source,
        f"{HEADERS}\n{setup}",
        env=NODE_ENV,
        bin_=(PROGRAMS, TOOLS),
        keys=tuple(sorted(keys)),
        programs=("npm",),
        builds=_builds(clues),
        is_locked=is_locked,
    )
