"""Which command runs a repository's tests: the one that is given, else what its files tell."""

import re
import shlex
from collections.abc import Callable

from codebot.domain.environment import GIVEN, Recipe, TestCommand
from codebot.domain.tree import DOTNET_PROJECTS, Tree
from codebot.verify.node_command import (
    node_part_that_tests,
    node_test,
    node_tests_after,
    read_manifest,
)
from codebot.verify.uv_workspace import tests_of_each

MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
"""In the order in which make itself looks."""

PYTEST = "pytest"

LONGEST_CLUE = 1024 * 1024
"""Bytes; nobody writes more than that to say how the tests run."""

PYTEST_TABLE, TOX_TABLE = (
    re.compile(rf"^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*{tool}[ \t]*[.\]]", re.MULTILINE)
    for tool in ("pytest", "tox")
)
"""Searched for, not parsed: of a name with 50,000 dots, tomllib makes gigabytes."""

MAKE_THEIR_OWN = ("tox", "nox")
"""Programs that make the environments in which they run tests."""

CALLS_ALL = re.compile(r"(?:^|[\s;&@+-])(?:tox|nox)\b(?!.*\s(?:-[efs]|--session)\b)")
"""A line that calls tox or nox for all of their environments: linters, all Pythons and databases.
One of them is found better without it."""

ASKS_OTHERS = re.compile(r"(?:^|[\s;&@+-])pre-commit +(?:run|install)\b")
"""A line that has pre-commit fetch linters from their own hosts, which no box may reach."""

PYTHON_CLUE = re.compile(r"(?:pytest\.ini|\.py|pyproject\.toml|setup\.cfg|tox\.(?:ini|toml))$")
PYTHON_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg")
PYTEST_NAMED = re.compile(r"\bpytest\b")
NODE_LOCKS = {"package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"}
"""Beside Python, a frontend that has tests of its own is set up only where it is locked."""

MOST_TARGETS = 100
"""In one line of a makefile."""

TOX_SECTIONS = (("tox.ini", "tox"), ("tox.ini", "testenv"), ("setup.cfg", "tox:tox"))

PYTHON_RUNNERS = {
    "uv.lock": "uv run --frozen",
    "poetry.lock": "poetry run",
    "pdm.lock": "pdm run",
    "Pipfile.lock": "pipenv run",
}


def find_test_command(
    given: str | None, tree: Tree, recipe: Recipe | None = None
) -> TestCommand | None:
    """Give the command that runs the tests, or None when nothing says how.

    What the task says comes first, then what the recipe says that set the repository up.
    A repository with several ways is asked in the order in which they include each other: what
    people type (`make test`) comes before the runner that it calls, and that before a language's
    default. What is broken or absurd in a clue counts as not being there.
    """
    if given:
        return TestCommand(given, GIVEN)
    if recipe is not None and recipe.test:
        return TestCommand(recipe.test, f"detected from {recipe.test_source or recipe.source}")
    tree = tree.below(recipe.path) if recipe is not None else tree
    detected = (detect(tree) for detect in DETECTORS)
    found = next(filter(None, detected), None) or _usual(recipe) or _last_resort(tree)
    return None if found is None else _through(found, tree, recipe)


Found = tuple[str, str] | None
"""A command and the clue that it comes from."""


def _usual(recipe: Recipe | None) -> Found:
    return (recipe.usual_test, recipe.source) if recipe is not None and recipe.usual_test else None


def _last_resort(tree: Tree) -> Found:
    return next(filter(None, (detect(tree) for detect in LAST_DETECTORS)), None)


def _through(found: tuple[str, str], tree: Tree, recipe: Recipe | None) -> TestCommand:
    """Give the command as the environment runs it that was set up."""
    command, clue = found
    if recipe is not None and recipe.usual_test and recipe.source == clue:
        command = recipe.usual_test
    elif recipe is not None and command in MAKE_THEIR_OWN and recipe.runner is not None:
        command = PYTEST  # what they would have made could not be made
    if command == PYTEST:
        command = f"{_runner(tree, recipe)} {PYTEST}".lstrip()
    of_each = tests_of_each(tree, command) if command == "uv run --frozen pytest" else ""
    if of_each:
        return TestCommand(of_each, f"detected from {clue}", command)
    alone = _part_that_tests(found, tree, recipe)
    has_frontend = PYTHON_CLUE.search(clue) and NODE_LOCKS & tree.paths
    both = node_tests_after(tree, command) if has_frontend else ""
    if both:
        return TestCommand(both, f"detected from {clue} and package.json", command)
    return TestCommand(command, f"detected from {clue}", alone)


def _part_that_tests(found: tuple[str, str], tree: Tree, recipe: Recipe | None) -> str:
    """Give what of a command tests, where it may check other things as well."""
    command, clue = found
    if clue == "package.json":
        return node_part_that_tests(tree)
    if command.startswith("make ") and (_pytest(tree) or _pytest_unsaid(tree)):
        return f"{_runner(tree, recipe)} {PYTEST}".lstrip()
    return ""


def _runner(tree: Tree, recipe: Recipe | None) -> str:
    if recipe is not None and recipe.runner is not None:
        return recipe.runner
    return next((runner for lock, runner in PYTHON_RUNNERS.items() if lock in tree.paths), "")


def _make(tree: Tree) -> Found:
    present = [name for name in MAKEFILES if name in tree.paths]
    makefile = _text(tree, present[0]) if present else ""
    if "test" not in make_targets(makefile):
        return None
    lines = make_recipe(makefile, "test")
    calls_all = any(map(CALLS_ALL.search, lines)) and (_tox(tree) or _nox(tree))
    asks_others = any(map(ASKS_OTHERS.search, lines)) and (_pytest(tree) or _pytest_unsaid(tree))
    return None if calls_all or asks_others else ("make test", present[0])


def make_targets(makefile: str) -> frozenset[str]:
    r"""Give the targets that a makefile spells out; variables in their names are not expanded.

    >>> sorted(make_targets("CC := gcc\nall test: main.o\n\ttest2: no\n.PHONY: lint\n"))
    ['.PHONY', 'all', 'test']
    """
    targets: set[str] = set()
    defining = False
    for line in makefile.replace("\\\n", " ").splitlines():
        names, colon, rest = line.partition(":")
        defining = line.startswith("define ") or (defining and not line.startswith("endef"))
        is_rule = colon and not rest.lstrip(":").startswith("=") and not set("#=") & set(names)
        if is_rule and not defining and not line.startswith((" ", "\t")):
            targets.update(names.split())
    return frozenset(targets)


def make_recipe(makefile: str, target: str) -> list[str]:
    r"""Give the lines that a makefile runs for a target, those of what it is made of first.

    >>> make_recipe("test: lint\n\t@tox\n\n\techo\nlint:\n\truff\nx:\n\ty\n", "test")
    ['ruff', '@tox', 'echo']
    """
    rules = _make_rules(makefile)
    reached = {target: None}
    left = [target]
    while left:
        made_of, _ = rules.get(left.pop(), ([], []))
        left += [name for name in made_of if name not in reached]
        reached |= dict.fromkeys(made_of)
    return [line for name in reversed(reached) for line in rules.get(name, ([], []))[1]]


def _make_rules(makefile: str) -> dict[str, tuple[list[str], list[str]]]:
    """Give what each target is made of, and the lines that make it."""
    rules: dict[str, tuple[list[str], list[str]]] = {}
    names: list[str] = []
    for line in makefile.replace("\\\n", " ").splitlines():
        if line.startswith("\t"):
            for name in names:
                rules[name][1].append(line.strip())
        elif line.strip():
            before, _, made_of = line.partition(":")
            names = before.split()[:MOST_TARGETS]
            for name in names:
                rules.setdefault(name, ([], []))[0].extend(made_of.split()[:MOST_TARGETS])
    return rules


def _pytest(tree: Tree) -> Found:
    for name in ("pytest.ini", ".pytest.ini"):
        if name in tree.paths:
            return PYTEST, name
    if PYTEST_TABLE.search(_text(tree, "pyproject.toml")):
        return PYTEST, "pyproject.toml"
    for name, section in (("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
        if _has_section(tree, name, section):
            return PYTEST, name
    return None


def _pytest_unsaid(tree: Tree) -> Found:
    """Go by the names of files alone: the last resort, for every language may vendor Python."""
    clue = min(filter(_is_python_test, tree.paths), default=None)
    return None if clue is None else (PYTEST, clue)


def _django(tree: Tree) -> Found:
    """Go by `manage.py`, the nearest one; what tox or nox run is said more exactly."""
    found = [path for path in tree.paths if re.fullmatch(r"(?:[^/]+/)?manage\.py", path)]
    if not found or _tox(tree) or _nox(tree):
        return None
    clue = min(found, key=lambda path: (path.count("/"), path))
    folder = clue.rpartition("/")[0]
    inside = f"cd {shlex.quote(folder)} && " if folder else ""
    return f"{inside}python manage.py test", clue


def _is_python_test(path: str) -> bool:
    *folders, name = path.split("/")
    is_named_so = name.endswith("_test.py") or (name.startswith("test_") and name.endswith(".py"))
    return is_named_so and (not folders or not {"test", "tests"}.isdisjoint(folders))


def _pytest_of_lock(tree: Tree) -> Found:
    """Go by test files where a lock names every version: tox would often only call its tool."""
    return None if PYTHON_RUNNERS.keys().isdisjoint(tree.paths) else _pytest_unsaid(tree)


def _pytest_of_project(tree: Tree) -> Found:
    """Go by test files where a Python project names pytest: what lies beside it is its frontend."""
    names_it = any(PYTEST_NAMED.search(_text(tree, path)) for path in PYTHON_MANIFESTS)
    return _pytest_unsaid(tree) if names_it else None


def _tox(tree: Tree) -> Found:
    for name, section in TOX_SECTIONS:
        if _has_section(tree, name, section):
            return "tox", name
    if TOX_TABLE.search(_text(tree, "pyproject.toml")):
        return "tox", "pyproject.toml"
    return ("tox", "tox.toml") if "tox.toml" in tree.paths else None


def _nox(tree: Tree) -> Found:
    return ("nox", "noxfile.py") if "noxfile.py" in tree.paths else None


def _node(tree: Tree) -> Found:
    command = node_test(tree)
    return (command, "package.json") if command else None


def _go(tree: Tree) -> Found:
    return ("go test ./...", "go.mod") if "go.mod" in tree.paths else None


def _cargo(tree: Tree) -> Found:
    return ("cargo test", "Cargo.toml") if "Cargo.toml" in tree.paths else None


def _maven(tree: Tree) -> Found:
    program = "./mvnw" if "mvnw" in tree.paths else "mvn"
    return (f"{program} -B test", "pom.xml") if "pom.xml" in tree.paths else None


def _gradle(tree: Tree) -> Found:
    program = "./gradlew" if "gradlew" in tree.paths else "gradle"
    for name in ("build.gradle", "build.gradle.kts"):
        if name in tree.paths:
            return f"{program} test", name
    return None


def _ruby(tree: Tree) -> Found:
    if "Gemfile" not in tree.paths:
        return None
    if ".rspec" in tree.paths or any(path.endswith("_spec.rb") for path in tree.paths):
        return "bundle exec rspec", "Gemfile"
    return ("bundle exec rake test", "Rakefile") if "Rakefile" in tree.paths else None


def _php(tree: Tree) -> Found:
    scripts = (read_manifest(tree, "composer.json") or {}).get("scripts")
    if isinstance(scripts, dict) and scripts.get("test"):
        return "composer test", "composer.json"
    found = [name for name in ("phpunit.xml", "phpunit.xml.dist") if name in tree.paths]
    return ("vendor/bin/phpunit", found[0]) if found else None


def _elixir(tree: Tree) -> Found:
    return ("mix test", "mix.exs") if "mix.exs" in tree.paths else None


def _dotnet(tree: Tree) -> Found:
    if not tree.own(*DOTNET_PROJECTS):
        return None  # a solution may hold nothing but C++
    nearest = next(iter(tree.own(".sln", ".slnx", "Tests.csproj")), None)
    return None if nearest is None else (f"dotnet test {shlex.quote(nearest)}", nearest)


def _make_check(tree: Tree) -> Found:
    present = [name for name in MAKEFILES if name in tree.paths]
    if present and "check" in make_targets(_text(tree, present[0])):
        return "make check", present[0]
    return None


DETECTORS: tuple[Callable[[Tree], Found], ...] = (
    _make,
    _pytest,
    _django,
    _pytest_of_lock,
    _tox,
    _nox,
    _pytest_of_project,
    _node,
    _go,
    _cargo,
    _maven,
    _gradle,
    _ruby,
    _php,
    _elixir,
    _dotnet,
)
LAST_DETECTORS: tuple[Callable[[Tree], Found], ...] = (_make_check, _pytest_unsaid)
"""For want of anything better, also than what the recipe usually runs the tests by."""


def _text(tree: Tree, path: str) -> str:
    """Give a clue as text, "" where there is none worth reading."""
    content = tree.contents.get(path, b"")
    return "" if len(content) > LONGEST_CLUE else content.decode("utf-8-sig", "replace")


def _has_section(tree: Tree, path: str, section: str) -> bool:
    lines = _text(tree, path).splitlines()
    return any(line.split("#")[0].strip() == f"[{section}]" for line in lines)
