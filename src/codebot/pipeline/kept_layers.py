"""Environments that are set up once and kept, for every task that begins with the same ones.

Set-up runs at a commit of the base branch, before any agent: what an agent commits is set up in the
task's own folder and never kept, so that nobody's change can poison another's tests.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog

from codebot.domain.environment import Layer, Recipe
from codebot.domain.outcome import Checkout
from codebot.domain.task import TaskId
from codebot.environment.set_up import SetUpRun
from codebot.workspace.kept_submodules import outermost
from codebot.workspace.layers import HeldLayer, LayerKey, Layers
from codebot.workspace.places import CannotBeKept, Places
from codebot.workspace.shelf import Holds

log = structlog.get_logger(__name__)

LEFTOVERS, COMMIT, DOUBT = "leftovers", "commit", "doubt"

RUNTIMES = ("python3", "node", "ruby", "java")
"""What a set-up builds for without naming it: a venv of Python 3.11 is broken without that."""

RunIn = Callable[[Checkout, Recipe], Awaitable[SetUpRun]]
"""Runs a recipe in a place."""


@dataclass(frozen=True, slots=True)
class Provided:
    """What became of a recipe: a layer, unless its run failed; no run where the layer was kept.

    `doubt` is what the layer's own run gave reason to doubt.
    """

    run: SetUpRun | None
    layer: Layer | None
    doubt: str = ""


class _SetUpEndedBadly(Exception):
    """Says that nothing is to be kept, to all who wait for the layer."""

    def __init__(self, run: SetUpRun) -> None:
        super().__init__(run.why)
        self.run = run


@dataclass(frozen=True, slots=True)
class _Making:
    """Makes layers for one task, at its base; `runs` gets what was run for them."""

    places: Places
    task_id: TaskId
    checkout: Checkout
    run: RunIn
    runs: list[SetUpRun]

    async def layer(
        self, recipe: Recipe, below: Layer | None, tree: Path, home: Path
    ) -> Mapping[str, str]:
        """Fill two folders by running a recipe, on what `below` holds; raises when it fails."""
        place = await self.places.open_in(self.task_id, self.checkout, tree, home, below)
        ended = await self.run(place, recipe)
        if ended.why:
            raise _SetUpEndedBadly(ended)
        try:
            layer = await self.places.settle(self.task_id, place)
        except CannotBeKept as left:
            raise _SetUpEndedBadly(replace(ended, why=f"left {left}")) from left
        self.runs.append(ended)
        return {
            "recipe": recipe.source,
            COMMIT: self.checkout.base_commit,
            LEFTOVERS: json.dumps(layer.leftovers),
            DOUBT: ended.doubt,
        }


@dataclass(frozen=True, slots=True)
class KeptLayers:
    """Gives layers of base branches; with `below` one is laid below a workspace, else copied."""

    layers: Layers
    places: Places
    below: bool
    holds: Holds = field(default_factory=Holds)

    async def provide(
        self, task_id: TaskId, checkout: Checkout, recipe: Recipe, run: RunIn
    ) -> Provided:
        """Give the layer of a recipe at the base, set up now if none is kept that fits.

        Two tasks that want one at once wait for one set-up. The task holds what it gets.
        """
        key = await self._key(checkout, recipe)
        runs: list[SetUpRun] = []
        make = _Making(self.places, task_id, checkout, run, runs)
        try:
            held = await self.layers.hold(key, partial(make.layer, recipe, None))
            if recipe.update and held.facts[COMMIT] != checkout.base_commit:
                held = await self._update(key, held, recipe, make)
        except _SetUpEndedBadly as ended:
            return Provided(ended.run, None)
        self.holds.add(task_id, held.hold)
        doubt = held.facts.get(DOUBT, "")
        return Provided(next(reversed(runs), None), self._as_layer(held), doubt)

    async def _update(
        self, key: LayerKey, old: HeldLayer, recipe: Recipe, make: "_Making"
    ) -> HeldLayer:
        """Give a layer that was brought to the base; set up anew where that fails."""
        commit = make.checkout.base_commit
        told = json.dumps([key.recipe, recipe.update])
        key = replace(key, recipe=told, keys=(*key.keys, ("", commit)))
        try:
            make_one = partial(make.layer, recipe.updating, self._as_layer(old))
            return await self.layers.hold(key, make_one)
        except _SetUpEndedBadly as ended:
            log.warning("environment.not_updated", source=recipe.source, why=ended.run.why)
            return await self.layers.hold(key, partial(make.layer, recipe, None))
        finally:
            old.hold.release()

    def hold(self, task_id: TaskId, layer: Layer) -> bool:
        """Hold a layer that a task was given before; say whether it is still there."""
        folder = layer.tree.parent
        if self.holds.has(task_id, folder):
            return True
        held = self.layers.shelf.take(folder.name)
        if held is None:
            return False
        self.holds.add(task_id, held)
        return True

    async def _key(self, checkout: Checkout, recipe: Recipe) -> LayerKey:
        """Say what decides; where a recipe names no files that do, or builds, the commit does.

        Submodules decide as well: one may be what is installed. What is updated fits all commits.
        """
        named = bool(recipe.keys) and not recipe.builds
        keys = await self.places.object_ids(checkout, recipe.keys) if named else ()
        if not keys and not recipe.update:
            keys = (("", checkout.base_commit),)
        brought = outermost(checkout.submodules)
        modules = await self.places.object_ids(checkout, brought) if brought else ()
        told = (recipe.setup, recipe.path, sorted(recipe.variables.items()), recipe.bin)
        return LayerKey(
            repository=str(checkout.mirror),
            branch=checkout.base_branch,
            recipe=json.dumps([recipe.source, *told]),
            keys=(*keys, *modules),
            tools=tuple(self._versions((*recipe.programs, *RUNTIMES))),
        )

    def _versions(self, programs: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Tell the programs of now from those of another version, without starting any."""
        for name in programs:
            program = self.places.sandbox.find(name)
            if program is not None:
                seen = program.stat()
                yield str(program.resolve()), f"{seen.st_size} {seen.st_mtime_ns}"

    def _as_layer(self, held: HeldLayer) -> Layer:
        leftovers = tuple(json.loads(held.facts.get(LEFTOVERS, "[]")))
        return Layer(held.tree, held.home, leftovers, below=self.below)
