"""`.devcontainer/devcontainer.json`: the commands that make the container fit, in their order.

https://containers.dev/implementors/json_reference/#lifecycle-scripts
"""

from collections.abc import Iterator
from shlex import join, quote
from typing import Any

from codebot.domain.environment import Recipe
from codebot.environment.recipes.clues import Clues, at, texts
from codebot.environment.recipes.foreign import foreign_recipe

FILES = (".devcontainer/devcontainer.json", ".devcontainer.json")
COMMANDS = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
OTHERS = ("features", "dockerComposeFile", "build", "initializeCommand")


def devcontainer(clues: Clues) -> Iterator[Recipe]:
    """Give the recipe of a development container's commands, where it has some."""
    for path in clues.those(*FILES):
        table = clues.json(path)
        script = "\n".join(line for key in COMMANDS for line in _lines(at(table, key)))
        notes = [f"skipped `{key}`" for key in OTHERS if at(table, key)]
        env = at(table, "containerEnv")
        recipe = foreign_recipe(path, script, env=env if isinstance(env, dict) else {}, notes=notes)
        if recipe is not None:
            yield recipe


def _lines(command: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Give the lines of a command: a shell's text, a list of arguments, or a table of either."""
    if isinstance(command, str) and command.strip():
        yield f"bash -c {quote(command)}"
    elif isinstance(command, list) and texts(command) and len(texts(command)) == len(command):
        yield join(texts(command))
    elif isinstance(command, dict):
        for one in command.values():
            if not isinstance(one, dict):
                yield from _lines(one)
