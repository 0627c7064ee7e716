"""Step `verify`: tests run where no agent has been, and the base's beside them.

The change is checked out in a clean place, on the layer that the base's set-up left; where it
touches a file that decides about the environment, set-up runs again, for this change alone. The
base's own run, made while the agent works, tells which failures were there before.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto

import structlog

from codebot.domain.environment import (
    BaseTests,
    Environment,
    Recipe,
    SetUpState,
    TestCommand,
)
from codebot.domain.outcome import Change, Checkout, Verdict
from codebot.domain.ports import Sandbox
from codebot.domain.task import Task
from codebot.errors import CodebotError, Untested
from codebot.pipeline.set_up import LONGEST_OUTPUT, SetUps
from codebot.sandbox.boxed import Boxed
from codebot.verify.base_runs import BaseRuns, base_key
from codebot.verify.tests import run_tests
from codebot.verify.verdict import (
    NOTHING_TO_RUN,
    TestRun,
    as_base,
    can_be_compared_with,
    judge,
    untested,
)
from codebot.workspace.places import Places
from codebot.workspace.single_flight import Relay

log = structlog.get_logger(__name__)

BASE, CHANGE = "base", "change"
NO_AGENT = "No model was asked. CODEBOT_UNTESTED=draft lets such tasks go on, untested."


@dataclass(frozen=True, slots=True)
class Trial:
    """What a change is tried by: its task, its base, and the environment."""

    task: Task
    checkout: Checkout
    environment: Environment


KeyFiles = tuple[tuple[str, str], ...]


class Upkeep(Enum):
    """What has to be done for the environment of a base to fit another commit."""

    NONE = auto()
    UPDATE = auto()
    ANEW = auto()


def require_trial(environment: Environment) -> None:
    """Raise `Untested` where it is known beforehand that no test can tell of a change."""
    if environment.test is None:
        raise Untested(NOTHING_TO_RUN, hint=NO_AGENT)
    if environment.state is SetUpState.FAILED:
        raise Untested(f"The tests could not run: {environment.reason}.", hint=NO_AGENT)


@dataclass(frozen=True, slots=True)
class Testing:
    """Runs the tests of changes and of their bases."""

    sandbox: Sandbox
    places: Places
    set_ups: SetUps
    base_runs: BaseRuns
    timeout: timedelta
    redact: Callable[[str], str]
    bases: Relay[TestRun] = field(default_factory=Relay)

    @asynccontextmanager
    async def beside(self, trial: Trial) -> AsyncIterator["asyncio.Task[TestRun | None]"]:
        """Give the base's run, which goes on beside what is done in here and ends with it."""
        running = asyncio.create_task(self._run_base(trial))
        try:
            yield running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def known_base(self, trial: Trial) -> BaseTests | None:
        """Say how the base's tests end, where an earlier run tells; nothing is run for it."""
        command = trial.environment.test
        if command is None:
            return None
        run = await asyncio.to_thread(self._find_base, trial, command)
        return None if run is None else as_base(run)

    def _find_base(self, trial: Trial, command: TestCommand) -> TestRun | None:
        """Give the base's run, where it is kept: of the whole command, or of the tests in it."""
        whole = self.base_runs.find(_key(trial, command, self.timeout))
        if whole is None or command.alone is None or can_be_compared_with(whole):
            return whole
        return self.base_runs.find(_key(trial, command.alone, self.timeout)) or whole

    async def judge(self, trial: Trial, change: Change, base: TestRun | None) -> Verdict:
        """Give the verdict on a change; raises `SandboxError` and `WorkspaceError`.

        The command is the base's: of the whole one, that may be the part that tests.
        """
        command = trial.environment.test if base is None else base.command
        if command is None:
            return untested(change.tip_commit)
        run = await self._run_change(trial, command, change)
        lacking = trial.environment.reason
        verdict = judge(run, base, change.tip_commit, lacking=lacking)
        log.info("tests.judged", state=verdict.state.value, verified=verdict.is_proof)
        return verdict

    async def _run_change(self, trial: Trial, command: TestCommand, change: Change) -> TestRun:
        upkeep = await self._upkeep(trial, change)
        return await self._run_at(trial, CHANGE, change.tip_commit, command, upkeep)

    async def _upkeep(self, trial: Trial, change: Change) -> Upkeep:
        """Say how the environment of the base comes to fit a change.

        Where nobody says what decides about that, everything does.
        """
        recipe, checkout = trial.environment.recipe, trial.checkout
        if recipe is None or recipe.builds:
            return Upkeep.ANEW
        commits = (checkout.base_commit, change.tip_commit)
        seen = [await self._keys(checkout, recipe, commit) for commit in commits]
        if seen[0] != seen[1]:
            return Upkeep.ANEW
        if recipe.update:
            return Upkeep.UPDATE
        return Upkeep.NONE if recipe.keys else Upkeep.ANEW

    async def _keys(self, checkout: Checkout, recipe: Recipe, commit: str) -> KeyFiles:
        return await self.places.object_ids(checkout, recipe.keys, commit) if recipe.keys else ()

    async def _run_base(self, trial: Trial) -> TestRun | None:
        """Give the base's run; None where there is nothing to run, or it came to nothing."""
        command = trial.environment.test
        if command is None:
            return None
        try:
            return await self.run_base(trial, command)
        except CodebotError as error:
            log.warning("base.not_tested", code=error.code, detail=self.redact(error.detail))
            return None

    async def run_base(self, trial: Trial, command: TestCommand) -> TestRun:
        """Give the base's run, a kept one where there is one; raises what `judge` raises.

        Where the whole command fails and nothing tells by which tests, the tests in it are run
        alone. If that says more, it is the base's run, and tells how those of a change are run.
        """
        whole = await self._run_base_by(trial, command)
        if command.alone is None or can_be_compared_with(whole):
            return whole
        part = await self._run_base_by(trial, command.alone)
        return part if can_be_compared_with(part) else whole

    async def _run_base_by(self, trial: Trial, command: TestCommand) -> TestRun:
        key = _key(trial, command, self.timeout)
        kept = await asyncio.to_thread(self.base_runs.find, key)
        if kept is not None:
            return kept
        run = await self.bases.join(
            key, lambda: self._run_at(trial, BASE, trial.checkout.base_commit, command)
        )
        await asyncio.to_thread(self.base_runs.keep, key, run)
        return run

    async def _run_at(
        self,
        trial: Trial,
        name: str,
        commit: str,
        command: TestCommand,
        upkeep: Upkeep = Upkeep.NONE,
    ) -> TestRun:
        """Run the tests in a place at a commit, which is set up as far as no layer does."""
        environment = trial.environment
        recipe = _recipe_for(environment, upkeep)
        layer = None if recipe is environment.recipe else environment.layer
        place = await self.places.open(trial.task.id, trial.checkout, name, commit, layer)
        try:
            if recipe is not None:
                environment = await self.set_ups.set_up_for(trial.task, place, environment, recipe)
            boxed = Boxed(self.sandbox, trial.task.id, place, in_background=name == BASE)
            run = await run_tests(
                boxed, command, environment, limit=self.timeout, redact=self.redact
            )
            return run if recipe is None else replace(run, lacking=_lacking(environment))
        finally:
            await self.places.close(trial.checkout, name)


def _recipe_for(environment: Environment, upkeep: Upkeep) -> Recipe | None:
    """Give what has to run before the tests: nothing where the layer is as it should be."""
    recipe = environment.recipe
    if environment.state is not SetUpState.READY or recipe is None or not recipe.setup:
        return None
    if upkeep is Upkeep.ANEW or environment.layer is None:
        return recipe
    return recipe.updating if upkeep is Upkeep.UPDATE else None


def _lacking(environment: Environment) -> str:
    """Say why a set-up of this very commit failed, with the end of its output; "" if it did not."""
    if environment.state is not SetUpState.FAILED:
        return ""
    return f"{environment.reason}. The end of its output:\n{environment.output[-LONGEST_OUTPUT:]}"


def _key(trial: Trial, command: TestCommand, timeout: timedelta) -> str:
    """Name what decides how a base's run ends; a layer's name tells the versions of tools."""
    recipe, layer = trial.environment.recipe, trial.environment.layer
    return base_key(
        trial.task.request.repository.url,
        trial.checkout.base_commit,
        command.command,
        "" if recipe is None else f"{recipe.source}\0{recipe.setup}\0{recipe.path}",
        "" if recipe is None else json.dumps([sorted(recipe.variables.items()), recipe.bin]),
        trial.environment.state.value,
        "" if layer is None else layer.tree.parent.name,
        str(timeout),
        *trial.checkout.submodules,
    )
