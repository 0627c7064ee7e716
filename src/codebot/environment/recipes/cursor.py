"""`.cursor/environment.json`: its `install`.

https://docs.cursor.com/background-agent
"""

from collections.abc import Iterator

from codebot.domain.environment import Recipe
from codebot.environment.recipes.clues import Clues, at
from codebot.environment.recipes.foreign import foreign_recipe

FILE = ".cursor/environment.json"


def cursor(clues: Clues) -> Iterator[Recipe]:
    """Give the recipe of Cursor's file, where it says what to install."""
    table = clues.json(FILE)
    install = at(table, "install")
    if isinstance(install, str):
        others = [key for key in ("build", "snapshot", "start") if at(table, key)]
        notes = [f"skipped `{key}`" for key in others]
        recipe = foreign_recipe(FILE, install, notes=notes)
        if recipe is not None:
            yield recipe
