"""Node projects in the folders of another language's tests, which call what is locked there."""

import re
from dataclasses import replace
from shlex import quote

from codebot.domain.tree import ASIDE
from codebot.environment.recipes import node
from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.guess import Guess

MOST_FOLDERS = 3
"""Each is installed by itself, which may take minutes."""

MANAGERS = (node.pnpm, node.yarn, node.bun, node.npm)
_TESTS = re.compile(r"tests?(?:[_-][\w-]+)?")
_ENTERED = re.compile(r"(?:^|[;&]\s*)cd\s+(?:\./)?([\w./-]+?)/?\s*(?:;|&&)")


def below_tests(clues: Clues) -> list[Guess]:
    """Give how the folders are set up that are named after tests, or that the tests are run in."""
    folders = {path.rpartition("/")[0] for path in clues.tree.paths if _is_lock(path)}
    entered = set(_ENTERED.findall(clues.test))
    chosen = sorted(folder for folder in folders if folder in entered or _is_of_tests(folder))
    found = (_locked(clues, folder) for folder in chosen[:MOST_FOLDERS])
    return [guess for guess in found if guess is not None]


def _is_lock(path: str) -> bool:
    return path.count("/") in {1, 2} and path.rpartition("/")[2] in node.LOCKS


def _is_of_tests(folder: str) -> bool:
    *above, name = folder.split("/")
    return _TESTS.fullmatch(name) is not None and ASIDE.isdisjoint(above)


def _locked(clues: Clues, folder: str) -> Guess | None:
    below = Clues(clues.tree.below(folder))
    guesses = (guess for look in MANAGERS for guess in look(below))
    found = next((guess for guess in guesses if guess.is_locked), None)
    if found is None:
        return None
    recipe = replace(
        found.recipe,
        source=f"{folder}/{found.recipe.source}",
        setup=f"cd {quote(folder)}\n{found.recipe.setup}",
        bin=tuple(entry for entry in found.recipe.bin if entry.startswith("~/")),
        keys=tuple(f"{folder}/{key}" for key in found.recipe.keys),
    )
    return replace(found, recipe=recipe)
