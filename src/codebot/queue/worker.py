"""Workers: they claim runs, work on them, and write down how it went, whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from codebot.domain.ports import Queue
from codebot.domain.run import QueueName, Run, RunResult
from codebot.errors import CodebotError, RunLost, StoreUnavailable
from codebot.queue.failures import BUG, result_of
from codebot.queue.policy import retry_delay
from codebot.queue.wish import UntilWished
from codebot.store.patience import patient

T = TypeVar("T")

log = structlog.get_logger(__name__)

LONGEST_PAUSE = timedelta(seconds=5)

Policy = Callable[[int, timedelta | None], timedelta | None]
"""From failures so far and the error's `retry_after` to the delay, None for giving up."""


class Worker:
    """`count` workers on one queue, each with one run at a time.

    `work` does a run and says how it ended, or raises. Whatever it raises ends in the store: an
    error worth a retry puts the run back, any other fails the task, a bug leaves its traceback in
    the log. When somebody cancels the task, `work` is cancelled, and called once more to put away
    what there is: the store knows of the wish. `pause` is the first wait when the store cannot be
    reached; it doubles from there.
    """

    def __init__(
        self,
        queue: Queue,
        queue_name: QueueName,
        work: Callable[[Run], Awaitable[RunResult]],
        count: int,
        now: Callable[[], datetime],
        policy: Policy = retry_delay,
        *,
        pause: timedelta = timedelta(seconds=1),
    ) -> None:
        self._queue = queue
        self._queue_name = queue_name
        self._work = work
        self._count = count
        self._now = now
        self._policy = policy
        self._pause = pause
        self._draining = False
        self._workers: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """How many runs are worked on now."""
        return len(self._busy)

    def start(self) -> None:
        """Start the workers; they run until `drain`."""
        for number in range(1, self._count + 1):
            name = f"{self._queue_name}-worker-{number}"
            self._workers.add(asyncio.create_task(self._serve(), name=name))

    async def drain(self, timeout: timedelta) -> None:  # noqa: ASYNC109  a budget, not a deadline
        """Stop taking runs, let those at work end, and after `timeout` put them back resumably."""
        self._draining = True
        for idle in self._workers - self._busy:
            idle.cancel()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=timeout.total_seconds())
            for worker in late:
                worker.cancel()
            await asyncio.wait(self._workers)
        self._workers.clear()

    async def _serve(self) -> None:
        """Do one run after the other until the drain."""
        me = asyncio.current_task()
        assert me is not None  # noqa: S101  `start` made this task
        while not self._draining:
            run = await self._insist(lambda: self._queue.claim(self._queue_name))
            if run is None:
                await asyncio.sleep(self._pause.total_seconds())
                continue
            self._busy.add(me)
            with structlog.contextvars.bound_contextvars(task_id=run.task_id, run_id=run.id):
                await self._do(run)
            self._busy.discard(me)

    async def _do(self, run: Run) -> None:
        """Work on the run and record how that ended."""
        log.info("run.started", kind=run.kind.value, attempt=run.attempt)
        try:
            with patient():
                result = await self._work_until_wished(run)
        except RunLost as error:
            log.warning("run.lost", detail=error.detail)
        except CodebotError as error:
            await self._fail(run, error)
        except asyncio.CancelledError as error:
            if not _is_cancelled():  # something inside gave up, nobody stops this worker
                await self._blame_us(run, error)
                return
            log.info("run.interrupted")
            await self._put_back(run)
            raise
        except Exception as error:  # noqa: BLE001  the worker outlives every bug of a run
            await self._blame_us(run, error)
        else:
            await self._finish(run, result)

    async def _work_until_wished(self, run: Run) -> RunResult:
        """Give how the run ended: by its work, or on somebody's wish.

        What the work itself came to meanwhile no longer matters then, a bug of ours neither: its
        task is cancelled.
        """
        wish = UntilWished(lambda: self._hear_wish(run))
        try:
            async with wish:
                result = await self._work(run)
            if not wish.is_wished:
                return result
        except Exception as error:
            if not wish.is_wished:
                raise
            if not isinstance(error, CodebotError):
                log.exception("run.broke")
        log.info("run.cancelled")
        return await self._work(run)

    async def _hear_wish(self, run: Run) -> str | None:
        """Wait for a wish, whatever becomes of the store meanwhile; raises `RunLost`."""
        lost: list[RunLost] = []

        async def wait() -> str | None:
            try:
                return await self._queue.wait_for_cancel(run)
            except RunLost as error:
                lost.append(error)
                return None

        said = await self._insist(wait)
        for error in lost:
            raise error
        return said

    async def _fail(self, run: Run, error: CodebotError) -> None:
        """Put the run back where another attempt makes sense, else end it with the error."""
        delay = self._policy(run.failures + 1, error.retry_after)
        if delay is None:
            await self._finish(run, result_of(error))
            return
        until = self._now() + delay
        log.warning("run.postponed", code=error.code, detail=error.detail, until=until.isoformat())
        await self._insist(lambda: self._queue.postpone(run, until, error.detail))

    async def _blame_us(self, run: Run, error: BaseException) -> None:
        """End the run over an exception that nobody foresaw: the traceback is for the log only."""
        log.error("run.broke", exc_info=error)
        await self._finish(run, BUG)

    async def _finish(self, run: Run, result: RunResult) -> None:
        """Record the end of the run."""
        code = None if result.failure is None else result.failure.code
        log.info("run.finished", outcome=result.outcome.value, code=code)
        await self._insist(lambda: self._queue.finish(run, result))

    async def _put_back(self, run: Run) -> None:
        """Let the run go on after a restart; what cannot be written now, `recover` does then."""
        try:
            await self._queue.interrupt(run)
        except CodebotError as error:
            log.warning("run.not_put_back", code=error.code, detail=error.detail)

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T | None:
        """Give what `act` gives, trying again for as long as the store cannot be reached.

        None when the store can, but says no: the run is somebody else's, or has ended.
        """
        pause = self._pause
        while True:
            try:
                return await act()
            except StoreUnavailable as error:
                log.error("store.unavailable", detail=error.detail, hint=error.hint)  # noqa: TRY400
            except CodebotError as error:
                log.warning("run.refused", code=error.code, detail=error.detail)
                return None
            except Exception:
                log.exception("queue.broke")
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)


def _is_cancelled() -> bool:
    """Say whether this task itself was cancelled, not just something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
