"""Which recipes may set a repository up, the best first: files of a commit in, recipes out. Pure.

Nothing here is asked of the agent's tree: the files are those of the base commit.
"""

from collections.abc import Callable, Iterator

from codebot.domain.environment import Recipe, RecipeOrigin
from codebot.domain.tree import Tree


def find_recipes(tree: Tree, *, setup_command: str | None = None) -> tuple[Recipe, ...]:
    """Give every recipe that there is for a tree, in the order in which they are to be tried."""
    return tuple(_find(tree, setup_command))


def _find(tree: Tree, setup_command: str | None) -> Iterator[Recipe]:
    if setup_command:
        yield Recipe(RecipeOrigin.TASK, "the task", setup_command)
    for guess in GUESSES:
        recipe = guess(tree)
        if recipe is not None:
            yield recipe


def _uv(tree: Tree) -> Recipe | None:
    if "uv.lock" not in tree.paths:
        return None
    return Recipe(
        RecipeOrigin.GUESSED,
        "uv.lock",
        "uv sync --frozen --all-groups",
        bin=(".venv/bin",),
        env={"UV_FROZEN": "1", "UV_PYTHON_DOWNLOADS": "never"},
        keys=("uv.lock", "pyproject.toml"),
        programs=("uv",),
    )


def _npm(tree: Tree) -> Recipe | None:
    if "package-lock.json" not in tree.paths:
        return None
    return Recipe(
        RecipeOrigin.GUESSED,
        "package-lock.json",
        "npm ci",
        bin=("node_modules/.bin",),
        keys=("package-lock.json", "package.json"),
        programs=("npm",),
    )


GUESSES: tuple[Callable[[Tree], Recipe | None], ...] = (_uv, _npm)
