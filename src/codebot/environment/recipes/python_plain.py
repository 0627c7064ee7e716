"""Python projects without a lock file: a venv in HOME, and in it whatever their tests need."""

import re
from collections.abc import Iterator
from shlex import quote

from codebot.environment.recipes.clues import Clues, at, names, texts
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.hatch import hatch_dependencies, hatch_extras, hatch_test
from codebot.environment.recipes.python_locked import PINNED, TOOLS, install_tool, uv_env
from codebot.environment.recipes.python_names import (
    deciding_files,
    has_native_sources,
    is_for_developers,
    next_best_names,
    requirement_files,
    test_names,
)
from codebot.environment.recipes.python_needs import runner_needs, usable_requirements

MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg")
PYTHON = '"$HOME/venv/bin/python"'
PIP = f"uv pip install --quiet --python {PYTHON}"
PREPARE = 'uv venv --quiet --seed --clear "$HOME/venv"'
VENV = "~/venv/bin"
PROJECT = "."
FROM_MANIFEST = ["-r", "pyproject.toml"]
SEE_MODULES = (
    f'printf \'%s\\n\' "$PWD/src" "$PWD" >'
    f"\"$({PYTHON} -c 'import site; print(site.getsitepackages()[0])')/workspace.pth\""
)
CALL_OTHERS = re.compile(r"(?:^|; )(?:make|tox|nox)\b")
"""What nobody knows of which program it runs the tests by; pytest runs those of the others."""

TOOLS_OF_OTHERS = ("tox", "nox", "poetry", "pdm", "pipenv", "hatch")
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
TEST_FILES = "test files"
_EXTRA = re.compile(r"""["'](test|tests|testing|dev)["']\s*[:\]]""", re.IGNORECASE)
_OWN_VENV = re.compile(r"(?:^|[\s=\"'(])(\.?(?:venv|env|virtualenv))(?=/bin/|\s*$)", re.MULTILINE)


def plain(clues: Clues) -> Iterator[Guess]:
    """Guess of manifests and files of requirements: all that tests are known to need of them.

    A project that cannot be built here may do without: its dependencies are installed alone, and
    its modules found where they lie.
    """
    named = runner_needs(clues).files
    files = requirement_files(clues.tree.paths, named) or _beside_the_tests(clues)
    manifests = clues.those(*MANIFESTS)
    if not (files or manifests or "pytest" in clues.test):
        return
    source = (*manifests, *files, TEST_FILES)[0]
    yield _venv(clues, source, _project(clues), files)
    if at(clues.toml("pyproject.toml", "project"), "dependencies"):
        yield _venv(clues, f"{source} (its dependencies alone)", _dependencies(clues), files)


def _beside_the_tests(clues: Clues) -> tuple[str, ...]:
    """Give the files of requirements in the folder that the tests are run in."""
    inside = re.search(r"(?:^|\()cd ([\w./-]+) && ", clues.test)
    if inside is None:
        return ()
    found = requirement_files(clues.tree.below(inside[1]).paths)
    return tuple(f"{inside[1]}/{path}" for path in found)


def _venv(clues: Clues, source: str, project: list[str], files: tuple[str, ...]) -> Guess:
    named = deciding_files(clues.tree.paths) if files else ()
    return guess(
        Family.PYTHON,
        source,
        "\n".join(_steps(clues, project, files)),
        usual_test="" if clues.test else hatch_test(clues),
        runner="",
        env=uv_env(clues),
        bin_=(VENV, TOOLS),
        keys=tuple(dict.fromkeys((*clues.those(*MANIFESTS, "tox.ini", PINNED), *files, *named))),
        programs=("uv",),
        builds=has_native_sources(clues.tree.paths),
    )


def _steps(clues: Clues, project: list[str], files: tuple[str, ...]) -> Iterator[str]:
    yield PREPARE
    makefile = "".join(map(clues.text, clues.those(*MAKEFILES)))
    for folder in sorted(set(_OWN_VENV.findall(makefile))):  # it is looked for in the tree
        yield f'test -e {folder} || ln -s "$HOME/venv" {folder}'
    what = [*project, *(f"-r {quote(path)}" for path in files), *_groups(clues)]
    if what:
        yield _install(what, _needed(clues, what, files))
    if what[:2] == FROM_MANIFEST:
        yield SEE_MODULES
    further = [*usable_requirements(hatch_dependencies(clues)), *runner_needs(clues).requirements]
    if "setup.py" in makefile:  # which finds in the venv what builds the project
        further += usable_requirements(
            texts(clues.toml("pyproject.toml", "build-system", "requires"))
        )
    if further:  # the guess of a guess
        wanted = " ".join(map(quote, further))
        yield f'{PIP} {wanted} || for one in {wanted}; do {PIP} "$one" || true; done'
    if "pytest" in clues.test or CALL_OTHERS.search(clues.test):
        yield f"{PYTHON} -c 'import pytest' 2>/dev/null || {PIP} pytest"
    for tool in TOOLS_OF_OTHERS:
        if re.search(rf"^\s.*\b{tool}\s", makefile, re.MULTILINE):
            yield f"{install_tool(tool)} || true"


def _needed(clues: Clues, what: list[str], files: tuple[str, ...]) -> list[str]:
    """Give what of it must be installed: not what only developers need, nor extras at a guess."""
    optional = {f"-r {quote(path)}" for path in files if is_for_developers(path)}
    needed = [item for item in what if item not in optional]
    return (
        needed if tuple(_extras(clues)) else [PROJECT if "[" in item else item for item in needed]
    )


def _install(what: list[str], needed: list[str]) -> str:
    """Give the line that installs it all, or at least what is needed of it."""
    line = f"{PIP} {' '.join(what)}"
    if needed == what:
        return line
    left_out = (item.removeprefix("-r ") for item in what if item not in needed)
    fallback = f"{PIP} {' '.join(needed)}" if needed else "true"
    told = quote(f"Not installed: {' '.join(left_out)}. The tests may do without.")
    return f"{line} || {{ {fallback}; echo {told}; }}"  # `&&` would hide its failure


def _dependencies(clues: Clues) -> list[str]:
    extras = test_names(names(clues.toml("pyproject.toml", "project", "optional-dependencies")))
    return [*FROM_MANIFEST, *(f"--extra {quote(name)}" for name in extras)]


def _project(clues: Clues) -> list[str]:
    """Say how the project itself is installed, with the extras that tests are named after."""
    if not _is_package(clues):
        return []
    extras = ",".join(dict.fromkeys(_extras(clues)) or next_best_names(_given_extras(clues)))
    return ["-e", quote(f".[{extras}]") if extras else PROJECT]


def _is_package(clues: Clues) -> bool:
    """Say whether there is something to install, or only settings of tools."""
    if clues.has("setup.py") or clues.ini("setup.cfg", "metadata"):
        return True
    table = clues.toml("pyproject.toml")
    return bool(at(table, "project") or at(table, "build-system"))


def _given_extras(clues: Clues) -> tuple[str, ...]:
    manifest = names(clues.toml("pyproject.toml", "project", "optional-dependencies"))
    return (*manifest, *clues.ini("setup.cfg", "options.extras_require"))


def _extras(clues: Clues) -> Iterator[str]:
    yield from test_names(_given_extras(clues))
    yield from hatch_extras(clues)
    yield from runner_needs(clues).extras
    script = clues.text("setup.py")
    start = script.find("extras_require")
    if start >= 0:  # one that is not there after all costs only a warning
        yield from (found[1] for found in _EXTRA.finditer(script))


def _groups(clues: Clues) -> Iterator[str]:
    there = names(clues.toml("pyproject.toml", "dependency-groups"))
    wanted = {*test_names(there), *runner_needs(clues).groups}
    yield from (f"--group {quote(name)}" for name in there if name in wanted)
