"""Step `set_up`: what the repository needs is put in place, by the first recipe that works.

Set-up runs in a place of its own at the base commit, and what it leaves there is a layer, which
comes under the agent's workspace and under every place in which tests run.
"""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from codebot.domain.environment import Environment, Layer, Recipe, SetUpState
from codebot.domain.outcome import Checkout
from codebot.domain.ports import Sandbox
from codebot.domain.task import Task
from codebot.domain.tree import Tree
from codebot.environment.recipes import Said, find_recipes, refused_hosts, written_for
from codebot.environment.recipes.operators import find_in_table
from codebot.environment.recipes.written import Written
from codebot.environment.set_up import SetUpRun, run_recipe
from codebot.errors import SetUpFailed
from codebot.pipeline.kept_layers import KeptLayers
from codebot.sandbox.boxed import Boxed
from codebot.verify.command import find_test_command
from codebot.workspace.places import Places

NOT_HERE = "not found on this machine"
HIDDEN = "CODEBOT_SANDBOX_PATHS"

LONGEST_OUTPUT = 4_000
"""Characters of a set-up's output that an error repeats: the end."""


Tell = Callable[[Recipe], Awaitable[None]]
"""Hears of each recipe that has something to set up, when that is begun."""


async def tell_nobody(recipe: Recipe) -> None:
    """Let a recipe begin in silence."""


@dataclass(frozen=True, slots=True)
class SetUps:
    """Sets repositories up.

    `environments` is the operator's table, by repository; `granted` are the hosts that boxes may
    reach besides the registries. `path` is where this machine has programs, whether boxes see them
    or not.
    """

    sandbox: Sandbox
    places: Places
    timeout: timedelta
    redact: Callable[[str], str]
    kept: KeptLayers
    environments: Mapping[str, Written] = field(default_factory=dict)
    granted: frozenset[str] = frozenset()
    path: str = ""

    async def provide(
        self, task: Task, checkout: Checkout, tree: Tree, tell: Tell = tell_nobody
    ) -> Environment:
        """Give the environment for the base commit, whose files are `tree`, and furnish the tree.

        Raises `SetUpFailed` when a recipe that a person wrote for this service fails: then no
        model is asked. A guess that fails is told, and the next one is tried.
        """
        failed: list[Environment] = []
        environment = Environment(SetUpState.NOTHING_TO_DO)
        for recipe in await asyncio.to_thread(self._recipes, task, tree):
            if recipe.setup:
                await tell(recipe)
            environment = await self._try(task, checkout, recipe)
            if environment.state is SetUpState.READY:
                break
            _raise_if_written(environment, recipe)
            failed.append(environment)
        if environment.layer is not None:
            await self.places.furnish(task.id, checkout, environment.layer)
        return replace(
            environment,
            failures=tuple(one.reason for one in failed),
            failed_output="".join(map(_printed, failed)),
        )

    def _recipes(self, task: Task, tree: Tree) -> list[Recipe]:
        """Give the recipes to try; what strangers wrote may take its time to read."""
        request = task.request
        operator = find_in_table(self.environments, request.repository)
        written = written_for(tree, Said(request.setup_command or "", operator))
        own = None if written is None else written.recipe
        test = find_test_command(request.test_command, tree, own)
        python = _python_version(self.sandbox)
        found = find_recipes(tree, written, test.command if test else "", python)
        return [recipe.telling(refused_hosts(recipe, self.granted)) for recipe in found]

    async def set_up_for(
        self, task: Task, place: Checkout, environment: Environment, recipe: Recipe
    ) -> Environment:
        """Give the environment as it is once a recipe has run in a place that its layer fits not.

        The recipe is the environment's own, or what updates it.
        """
        run = await self._run(task, place, recipe)
        ended = _ended(recipe, run, None)
        return replace(ended, recipe=environment.recipe, failures=environment.failures)

    async def _try(self, task: Task, checkout: Checkout, recipe: Recipe) -> Environment:
        missing = [name for name in recipe.programs if not self.sandbox.has(name)]
        if missing:
            reason = f"{recipe.source} needs {self._missing(missing)}"
            return Environment(SetUpState.FAILED, recipe, reason=reason)
        if not recipe.setup:
            return Environment(SetUpState.READY, recipe)
        if not self.sandbox.paths_are_fixed:  # what is set up in one place works in no other
            return _ended(recipe, await self._run(task, checkout, recipe), None)
        return await self._provide(task, checkout, recipe)

    def _missing(self, programs: list[str]) -> str:
        """Say of programs that boxes lack whether this machine has them where no box sees them."""
        hidden = [shutil.which(name, path=self.path) for name in programs]
        if None not in hidden:
            seen = " and ".join(filter(None, hidden))
            return f"{seen}, which boxes do not see ({HIDDEN})"
        return f"{' and '.join(programs)}, {NOT_HERE}"

    async def _provide(self, task: Task, checkout: Checkout, recipe: Recipe) -> Environment:
        run = partial(self._run, task)
        provided = await self.kept.provide(task.id, checkout, recipe, run)
        if provided.run is None:
            return Environment(
                SetUpState.READY, recipe, provided.layer, reason=provided.doubt, reused=True
            )
        return _ended(recipe, provided.run, provided.layer)

    def hold(self, task: Task, environment: Environment) -> bool:
        """Say whether what was set up for a task is still there, and have it stay for its run."""
        layer = environment.layer
        return layer is None or self.kept.hold(task.id, layer)

    async def _run(self, task: Task, place: Checkout, recipe: Recipe) -> SetUpRun:
        boxed = Boxed(self.sandbox, task.id, place)
        return await run_recipe(boxed, recipe, limit=self.timeout, redact=self.redact)


def _ended(recipe: Recipe, run: SetUpRun, layer: Layer | None) -> Environment:
    return Environment(
        SetUpState.FAILED if run.why else SetUpState.READY,
        recipe,
        layer,
        reason=f"the set-up of {recipe.source} {run.why}" if run.why else run.doubt,
        output=run.output,
        duration=run.duration,
    )


def _python_version(sandbox: Sandbox) -> str:
    """Give the version that commands find as `python3`, by its file; "" where that does not say."""
    found = sandbox.find("python3")
    named = None if found is None else re.fullmatch(r"python(3\.\d+)", found.resolve().name)
    return named[1] if named else ""


def _printed(failed: Environment) -> str:
    r"""Give what a set-up that failed printed last, as lines below its reason.

    >>> _printed(Environment(SetUpState.FAILED, reason="uv.lock broke", output="no x\n"))
    '# uv.lock broke\n  no x\n'
    """
    said = failed.output.strip()[-LONGEST_OUTPUT:]
    lines = (f"# {failed.reason}", *(f"  {line}" for line in said.splitlines()))
    return "".join(f"{line}\n" for line in lines)


def _raise_if_written(environment: Environment, recipe: Recipe) -> None:
    if not recipe.is_written:
        return
    said = environment.output.strip()[-LONGEST_OUTPUT:]
    raise SetUpFailed(
        f"{environment.reason[:1].upper()}{environment.reason[1:]}.",
        hint=f"No model was asked. The end of its output:\n{said}" if said else "",
    )
