"""`.openhands/setup.sh`: a script that is run from the top of the repository.

https://docs.openhands.dev/openhands/usage/customization/repository
"""

from collections.abc import Iterator

from codebot.domain.environment import Recipe
from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.foreign import foreign_recipe

FILE = ".openhands/setup.sh"


def openhands(clues: Clues) -> Iterator[Recipe]:
    """Give the recipe of OpenHands' script; it is run as the file that it is."""
    if not clues.text(FILE).strip():
        return
    recipe = foreign_recipe(FILE, f"bash {FILE}")
    if recipe is not None:
        yield recipe
