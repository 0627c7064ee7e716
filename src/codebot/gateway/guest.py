"""One admitted run: its token, its account, what it has used, and its calls under way."""

from collections.abc import Awaitable, Callable, Sequence

import anyio

from codebot.domain.budget import WRAP_UP, Cap
from codebot.domain.event import EventData, budget_exhausted, budget_warned, model_unmetered
from codebot.domain.run import RunId
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.gateway.account import Account, Grant
from codebot.gateway.metering import Metered, Turn
from codebot.gateway.pace import Pace

Tell = Callable[[Metered, Sequence[EventData]], Awaitable[None]]
"""Hears what a run has used so far whenever that changes, and what to tell of it.

A call's answer ends only when this has returned: what is written down here by then is known
before the agent goes on. It must not raise.
"""


async def tell_nobody(metered: Metered, events: Sequence[EventData]) -> None:
    """Hear it and do nothing."""
    del metered, events


class Guest:
    """A run with a way to the model, until it is shown out."""

    def __init__(
        self, run_id: RunId, task_id: TaskId, token: Secret, account: Account, tell: Tell
    ) -> None:
        """Let this run of this task in, by this token, on this account."""
        self.run_id = run_id
        self.task_id = task_id
        self.token = token
        self.account = account
        self.pace = Pace()
        self.metered = Metered()
        self.stopped_by: Cap | None = None
        self.is_cut = False
        self._tell = tell
        self._calls: set[anyio.CancelScope] = set()
        self._idle = anyio.Event()
        self._is_unmetered = False
        self._news: list[EventData] = []
        self._is_warned = account.caps.reached(account.used, WRAP_UP) is not None

    @property
    def calls(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def enter(self, call: anyio.CancelScope) -> None:
        """Count a call that begins; `call` is what ends it."""
        self._calls.add(call)

    def leave(self, call: anyio.CancelScope) -> None:
        """Count a call that has ended, its price included."""
        self._calls.discard(call)
        if not self._calls:
            self._idle.set()
            self._idle = anyio.Event()

    def cut(self) -> None:
        """End every call, and let no other begin."""
        self.is_cut = True
        for call in self._calls:
            call.cancel()

    async def be_charged(self) -> None:
        """Wait until every call has ended and is charged."""
        while self._calls:
            await self._idle.wait()

    async def record(self, turn: Turn, grant: Grant) -> None:
        """Charge a call that ended, and tell of it, whoever is being cancelled."""
        self.account.settle(grant, turn.usage)
        self.metered = self.metered.plus(turn)
        events, self._news = self._news, []
        with anyio.CancelScope(shield=True):
            await self._tell(self.metered, events)

    def note_unmetered(self, turn: Turn) -> None:
        """Have it told, once, that an answer did not say what it used."""
        if not self._is_unmetered:
            self._is_unmetered = True
            self._news.append(model_unmetered(turn.model, turn.usage))

    async def warn(self, cap: Cap) -> None:
        """Tell, once, that the agent is asked to come to an end."""
        if not self._is_warned:
            self._is_warned = True
            caps = self.account.caps
            await self._tell(self.metered, [budget_warned(caps, cap, self.account.used)])

    async def stop(self, cap: Cap) -> None:
        """Tell, once, that a call was refused because it could pass a cap."""
        if self.stopped_by is None:
            self.stopped_by = cap
            caps = self.account.caps
            await self._tell(self.metered, [budget_exhausted(caps, cap, self.account.used)])
