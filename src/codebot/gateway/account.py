"""What one task has used of its caps and may still use: no call starts that could pass one.

Before a call its worst case is set aside, so that calls under way at the same time cannot pass a
cap together; after it, what it really used is charged and the rest is free again.
"""

from dataclasses import dataclass

import anyio

from codebot.domain.budget import WRAP_UP, Cap, Caps, amount
from codebot.domain.outcome import Usage
from codebot.gateway.prices import FREE, Tariff

USEFUL = 1024
"""Tokens of an answer below which a call is not worth its price."""
ROOMY = 16_384
"""Tokens of an answer that hardly any turn of an agent needs more than."""
CHANGE = 1e-6
"""Dollars left over, so that sums of rounded numbers do not pass a cap either."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The most that a call could use, were there no caps.

    `long_cache` says that its input may be kept in the cache for an hour.
    """

    input_tokens: int
    max_tokens: int
    tariff: Tariff = FREE
    long_cache: bool = False

    @property
    def enough(self) -> int:
        """How little room for an answer still makes sense."""
        return min(self.max_tokens, USEFUL)

    @property
    def roomy(self) -> int:
        """How much room for an answer is worth an effort, such as waiting for another call."""
        return min(self.max_tokens, ROOMY)

    def most(self, max_tokens: int) -> Usage:
        """Give what the call uses at most with this much room for its answer."""
        return Usage(1, self.input_tokens, max_tokens, self.tariff.cost(max_tokens))


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """What one call may use at most; nobody else's until it is settled."""

    wish: Wish
    max_tokens: int

    @property
    def most(self) -> Usage:
        """What is set aside."""
        return self.wish.most(self.max_tokens)


class Account:
    """The caps of a task, what it has used of them, and what its calls under way may use."""

    def __init__(self, caps: Caps, spent: Usage) -> None:
        """Open with what the task has used before."""
        self.caps = caps
        self.used = spent
        self._granted: list[Grant] = []
        self._settled = anyio.Event()

    def comes_to_its_end(self, wish: Wish) -> Cap | None:
        """Say which cap is so nearly reached that the agent should come to an end.

        That is so from a share of it on, and before, when this may be the last call that fits.
        """
        room, cap = self._room(wish, self.used + wish.most(wish.enough))
        is_last = cap if room < wish.enough else None
        return self.caps.reached(self.used + Usage(turns=1), WRAP_UP) or is_last

    def is_tight(self, wish: Wish) -> bool:
        """Say whether the caps, not the other calls, leave little room for this one's answer."""
        room, cap = self._room(wish, self.used)
        return room < wish.roomy and cap is not Cap.TURNS

    async def reserve(self, wish: Wish) -> Grant | Cap:
        """Set aside what a call may use at most, or say which cap it could pass.

        What calls under way hold is mostly given back: rather than refuse, or leave a call with
        little room, this waits for one of them to end.
        """
        while True:
            room, cap = self._room(wish, self._spoken_for())
            alone, _ = self._room(wish, self.used)
            if room >= wish.roomy or room >= alone:
                break
            await self._settled.wait()
        if room < wish.enough:
            return cap
        grant = Grant(wish, room)
        self._granted.append(grant)
        return grant

    def settle(self, grant: Grant, used: Usage) -> None:
        """Charge what a call has used, and give back what it has not."""
        self._granted.remove(grant)
        self.used += used
        self._settled.set()
        self._settled = anyio.Event()

    def _spoken_for(self) -> Usage:
        return sum((grant.most for grant in self._granted), start=self.used)

    def _room(self, wish: Wish, taken: Usage) -> tuple[int, Cap]:
        """Say how many tokens the answer may have, below 0 for none, and which cap says so."""
        tokens = self.caps.limit(Cap.TOKENS) - amount(taken, Cap.TOKENS) - wish.input_tokens
        dollars = self.caps.max_budget_usd - taken.cost_usd - wish.tariff.base
        return min(
            (-1 if taken.turns >= self.caps.max_turns else wish.max_tokens, Cap.TURNS),
            (_whole(tokens, wish.max_tokens), Cap.TOKENS),
            (_affordable(dollars, wish), Cap.DOLLARS),
            key=lambda room: room[0],
        )


def _affordable(dollars: float, wish: Wish) -> int:
    """Say how many tokens of output so much money buys."""
    per_token = wish.tariff.per_token
    left = dollars - CHANGE
    if wish.tariff == FREE or (left >= 0 and not per_token):
        return wish.max_tokens
    return -1 if left < 0 else _whole(left / per_token, wish.max_tokens)


def _whole(tokens: float, most: int) -> int:
    """Give a number of whole tokens, not more than `most`."""
    return most if tokens >= most else int(tokens // 1)
