"""The record of a run's steps: a step that finished is never done again, whatever died since."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from codebot.domain.run import Run
from codebot.domain.status import Phase
from codebot.errors import CodebotError
from codebot.store.codec import codec_of
from codebot.store.steps import Noted
from codebot.store.store import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """Which piece of a run: its name, its round (0 outside the rounds), and the task's phase."""

    name: str
    phase: Phase
    round: int = 0


class Journal:
    """Does each step of one run once, and hands back the recorded value ever after."""

    def __init__(self, store: Store, run: Run) -> None:
        """Keep the record of `run` in `store`."""
        self._store = store
        self._run = run

    async def has(self, step: Step) -> bool:
        """Say whether the step has finished."""
        return await self._recorded(step) is not None

    async def value(self, step: Step, kind: type[T]) -> T | None:
        """Give what the step has left, None when it has not finished."""
        recorded = await self._recorded(step)
        return None if recorded is None else codec_of(kind).validate_json(recorded)

    async def once(
        self,
        step: Step,
        kind: type[T],
        work: Callable[[], Awaitable[T]],
        note: Callable[[T], Noted] = lambda _: Noted(),
        *,
        still_holds: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """Give the step's value: from the record when it finished before, else by doing it.

        The value, what it changes on the task and its events are stored in one transaction. A
        step that raises is recorded as failed with its code, and the error goes on. A recorded
        value of which `still_holds` says no counts as not recorded.
        """
        codec = codec_of(kind)
        recorded = await self._recorded(step)
        if recorded is not None and still_holds(value := codec.validate_json(recorded)):
            return value
        await self._store.steps.start(self._run, step.name, step.round, step.phase)
        try:
            value = await work()
        except CodebotError as error:
            await self._store.steps.fail(self._run, step.name, step.round, error)
            raise
        noted = note(value)
        await self._store.steps.finish(
            self._run,
            step.name,
            step.round,
            codec.dump_json(value).decode(),
            noted.changes,
            noted.events,
        )
        return value

    async def _recorded(self, step: Step) -> str | None:
        return await self._store.steps.result(self._run.id, step.name, step.round)
