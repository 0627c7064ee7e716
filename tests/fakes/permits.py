"""Permits for calls that are tried without a task, and a record of effects without a store."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from codebot.domain.effect import Effect, EffectKind, Permit, issue_permit
from codebot.store.steps import Noted

T = TypeVar("T")


def a_permit() -> Permit:
    return issue_permit(Effect(EffectKind.BRANCH, "a test"))


class NoRecord:
    """Makes effects as a run does that nobody has begun before; keeps their names."""

    def __init__(self) -> None:
        self.begun: list[Effect] = []

    async def once(
        self,
        effect: Effect,
        kind: type[T],
        *,
        look: Callable[[], Awaitable[T | None]],
        make: Callable[[Permit], Awaitable[T]],
        note: Callable[[T], Noted] = lambda _: Noted(),
    ) -> T:
        self.begun.append(effect)
        return await make(issue_permit(effect))

    async def names(self, kind: EffectKind) -> list[str]:
        return [effect.name for effect in self.begun if effect.kind is kind]
