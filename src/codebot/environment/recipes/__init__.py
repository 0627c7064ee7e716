"""Which recipes may set a repository up, the best first: files of a commit in, recipes out. Pure.

Nothing here is asked of the agent's tree: the files are those of the base commit. One module for
each ecosystem and for each file that was written for another service.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from codebot.domain.environment import Recipe, RecipeOrigin
from codebot.domain.tree import Tree
from codebot.environment.recipes import (
    languages,
    native,
    node,
    python_locked,
    python_plain,
    python_poetry,
    python_runners,
)
from codebot.environment.recipes.bounds import is_argument
from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.codebot_toml import read_codebot_toml
from codebot.environment.recipes.copilot import copilot
from codebot.environment.recipes.cursor import cursor
from codebot.environment.recipes.devcontainer import devcontainer
from codebot.environment.recipes.guess import Family, Guess, beside, families_of
from codebot.environment.recipes.node_below import below_tests
from codebot.environment.recipes.only_project import only_project
from codebot.environment.recipes.openhands import openhands
from codebot.environment.recipes.written import TASK, Written

FOREIGN: tuple[Callable[[Clues], Iterator[Recipe]], ...] = (copilot, cursor, openhands)
GUESSES: tuple[Callable[[Clues], Iterator[Guess]], ...] = (
    python_runners.tox,
    python_runners.nox,
    python_locked.uv,
    python_poetry.poetry,
    python_locked.pdm,
    python_locked.pipenv,
    node.pnpm,
    node.yarn,
    node.bun,
    node.npm,
    languages.go,
    languages.rust,
    languages.maven,
    languages.gradle,
    languages.ruby,
    languages.php,
    languages.elixir,
    python_plain.plain,
    native.cmake,
    native.meson,
    native.autotools,
    languages.dotnet,
    native.plain_make,
)
NOTHING_WRITTEN = Written(Recipe(RecipeOrigin.TASK, TASK, ""), has_setup=False)
MOST_TRIED = 7
"""Recipes for one repository: each that fails costs its time."""


@dataclass(frozen=True, slots=True)
class Said:
    """What people said about a repository for this service, besides its files.

    `setup_command` is the task's, `test` the command that will run the tests, "" where that is not
    known; `operator` is what the operator's table says.
    """

    setup_command: str = ""
    operator: Written | None = None


def written_for(tree: Tree, said: Said) -> Written | None:
    """Give what a person wrote for this service, the most trusted; raises `SetUpFailed`.

    A task says how to set up, and leaves to the others what else there is to say.
    """
    written = said.operator or read_codebot_toml(tree)
    if not said.setup_command:
        return written
    return (written or NOTHING_WRITTEN).set_up_by(said.setup_command)


def find_recipes(
    tree: Tree, written: Written | None = None, test: str = "", python: str = ""
) -> tuple[Recipe, ...]:
    """Give every recipe that there is for a tree, in the order in which they are to be tried.

    What a person wrote (`written_for`) is the only one, unless it leaves open how to set up: then
    it is laid over the others, which are looked for in the folder that it names. `test` is the
    command that will run the tests and `python` the version that is here ("3.11"), "" where that is
    not known.
    """
    if written is None:
        top = [*_unwritten(Clues(tree, test, python))]
        return (*_below(tree, top, test, python), *top)[:MOST_TRIED]
    if written.has_setup:
        return (written.recipe,)
    path = written.recipe.path
    found = _unwritten(Clues(tree.below(path), test, python))
    recipes = [written.over(_moved(recipe, path)) for recipe in found]
    return tuple(recipes[:MOST_TRIED]) or (written.recipe,)


def _below(tree: Tree, found: list[Recipe], test: str, python: str) -> list[Recipe]:
    """Give the recipes of the only project of a repository whose top folder says nothing of one.

    What was given to run the tests knows the folders: then there is nothing to be moved.
    """
    says_nothing = all(recipe.source == python_plain.TEST_FILES for recipe in found)
    path = only_project(tree) if says_nothing and test in {"", "pytest"} else ""
    if not path:
        return []
    return [_moved(recipe, path) for recipe in _unwritten(Clues(tree.below(path), test, python))]


def refused_hosts(recipe: Recipe, granted: frozenset[str]) -> tuple[str, ...]:
    """Say which hosts a recipe asks for and does not get: that is the operator's to say."""
    refused = [host for host in recipe.egress if host not in granted]
    return tuple(f"{host} is asked for, and CODEBOT_EGRESS does not grant it" for host in refused)


def _unwritten(clues: Clues) -> Iterator[Recipe]:
    """Give what can be run of all that was not written for this service."""
    foreign = (recipe for read in FOREIGN for recipe in read(clues))
    found = chain(foreign, _guessed(clues), devcontainer(clues))
    return (recipe for recipe in found if is_argument(recipe.setup))


def _guessed(clues: Clues) -> Iterator[Recipe]:
    """Give the guesses: what the tests are run with comes first, what else is locked beside it."""
    guesses = [guess for look in GUESSES for guess in look(clues)]
    if not guesses:
        return
    wanted = _families(clues)
    first = _first(guesses, wanted)
    needed = (guess for guess in guesses if guess.is_locked or guess.family in wanted)
    others = _first_of_each(guess for guess in needed if guess.family is not first)
    if Family.NODE not in {first, *(other.family for other in others)}:
        others += below_tests(clues)
    for guess in guesses:
        if guess.family is first:
            yield beside(guess, others)


def _first(guesses: list[Guess], wanted: frozenset[Family]) -> Family:
    """Say whose guesses come first: of several that tests run by, Python's, before its frontend."""
    running = [guess.family for guess in guesses if guess.family in wanted]
    return Family.PYTHON if Family.PYTHON in running else (*running, guesses[0].family)[0]


def _families(clues: Clues) -> frozenset[Family]:
    """Say whose programs run the tests; of make, that is what its file calls."""
    if not clues.test.startswith("make"):
        return families_of(clues.test)
    lines = "".join(map(clues.text, clues.those(*native.MAKEFILES))).splitlines()
    called = (families_of(line.strip(" \t@-")) for line in lines if line.startswith("\t"))
    return frozenset().union(*called)


def _first_of_each(guesses: Iterator[Guess]) -> list[Guess]:
    found: dict[str, Guess] = {}
    for guess in guesses:
        found.setdefault(guess.family, guess)
    return [*found.values()]


def _moved(recipe: Recipe, path: str) -> Recipe:
    """Give a recipe of a folder as one of the repository."""
    if not path:
        return recipe
    return replace(recipe, path=path, keys=tuple(f"{path}/{key}" for key in recipe.keys))
