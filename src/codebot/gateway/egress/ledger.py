"""What boxes reached and were refused, kept in memory for half a second and then in the store."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from codebot.domain.egress import Access, AccessVerdict
from codebot.domain.task import TaskId
from codebot.errors import CodebotError
from codebot.store.egress import MOST_NAMED, Accesses, AccessKey, AccessTotal
from codebot.store.patience import patient

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=0.5)
"""How long an access may wait for others to be written with: what a crash can lose."""

PATIENCE = timedelta(seconds=10)
"""How long the ledger waits for a store that takes nothing now."""

LONGEST_NAME = 253
"""Characters of a host name in DNS: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4"""

LONGEST_REASON = 200
OVERLONG = "(overlong name)"
NAMELESS = "(no name)"

_Pile = tuple[TaskId, AccessVerdict]


class EgressLedger:
    """Adds up the accesses of every task; the connection that tells of one waits for nothing.

    It holds no more rows of a task than the store takes, however many hosts are tried. What
    cannot be written now is written later, together with what came since.
    """

    def __init__(
        self,
        accesses: Accesses,
        *,
        now: Callable[[], datetime],
        mask: Callable[[str], str] = str,
        pause: timedelta = PAUSE,
    ) -> None:
        """Write into `accesses`, `pause` after something was recorded.

        `mask` takes secrets out of a host's name, in whatever case it was asked for.
        """
        self._accesses = accesses
        self._mask = mask
        self._now = now
        self._pause = pause
        self._waiting: dict[_Pile, dict[AccessKey, AccessTotal]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._is_closed = False

    def record(self, task_id: TaskId, access: Access) -> None:
        """Add one access that ended or was refused; for the event loop, and never raises."""
        host = host_text(self._mask(access.host))
        reason = _printable(self._mask(access.reason)[:LONGEST_REASON])
        now = self._now()
        self._put(
            task_id,
            AccessTotal(
                *(host, access.port, access.verdict, reason),
                *(1, access.sent, access.received),
                *(now, now),
            ),
        )
        self._begin_in(self._pause)

    async def flush(self) -> None:
        """Write down everything that was recorded until now; trouble is logged, not raised."""
        await asyncio.shield(self._begin())

    async def close(self) -> None:
        """Write down everything, and start nothing any more; a database that is away is left."""
        self._is_closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self.flush()

    def _put(self, task_id: TaskId, total: AccessTotal) -> None:
        """Add to what waits; once that is many hosts, a new one counts among the others."""
        sums = self._waiting.setdefault((task_id, total.verdict), {})
        if total.key not in sums and len(sums) >= MOST_NAMED:
            total = total.as_other()
        there = sums.get(total.key)
        sums[total.key] = total if there is None else there + total

    def _begin_in(self, pause: timedelta) -> None:
        """Let the writing begin after a pause, unless that is due already."""
        if self._timer is None and not self._is_closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(pause.total_seconds(), self._begin_patiently)

    def _begin_patiently(self) -> None:
        """Write for runs, though by a clock that is nobody's: nothing must be added twice."""
        with patient():
            self._begin()

    def _begin(self) -> asyncio.Task[None]:
        """Write now, or as soon as what is being written is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        writing = asyncio.get_running_loop().create_task(self._write())
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return writing

    async def _write(self) -> None:
        """Write what waits; what the store does not take waits again."""
        async with self._turn:
            taken, self._waiting = self._waiting, {}
            totals: dict[TaskId, list[AccessTotal]] = {}
            for (task_id, _), sums in taken.items():
                totals.setdefault(task_id, []).extend(sums.values())
            if not totals:
                return
            try:
                await self._accesses.add(totals)
            except CodebotError as error:
                log.warning("egress.not_written", code=error.code, detail=error.detail)
                self._put_back(totals)

    def _put_back(self, totals: Mapping[TaskId, Iterable[AccessTotal]]) -> None:
        for task_id, each in totals.items():
            for total in each:
                self._put(task_id, total)
        self._begin_in(PATIENCE)


def host_text(name: str) -> str:
    r"""Give a host's name as it can be kept and shown.

    One that is too long for a name is not cut: half of a secret is still one.

    >>> host_text("evil.example"), host_text("a b\x1b[1m"), host_text("x" * 254), host_text("")
    ('evil.example', 'a?b?[1m', '(overlong name)', '(no name)')
    """
    if len(name) > LONGEST_NAME:
        return OVERLONG
    return _printable(name).replace(" ", "?") or NAMELESS


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "?" for each in text)
