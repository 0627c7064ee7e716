"""Work that ends when somebody wants it to, as `asyncio.timeout` ends what takes too long."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from codebot.errors import RunLost


class UntilWished:
    """Cancels the block in it when `wait` returns; `is_wished` says that it did.

    The cancellation ends with the block. One that comes from outside goes on, as ever. A `RunLost`
    of `wait` cancels the block, too, and is raised in place of whatever it came to.
    """

    def __init__(self, wait: Callable[[], Awaitable[str | None]]) -> None:
        """Watch for what `wait` waits for; None stands for nothing to wait for."""
        self._wait = wait
        self._is_over = False
        self._lost: RunLost | None = None
        self.is_wished = False

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        self._task, self._before = task, task.cancelling()
        self._watching = asyncio.ensure_future(self._wait())
        self._watching.add_done_callback(self._end)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Watch no more; true where the wish alone has ended the block."""
        self._is_over = True
        self._watching.cancel()
        if not self.is_wished and self._lost is None:
            return False
        is_ours = self._task.uncancel() <= self._before
        if is_ours and self._lost is not None:
            raise self._lost
        return is_ours and kind is asyncio.CancelledError

    def _end(self, watching: "asyncio.Future[str | None]") -> None:
        if watching.cancelled() or self._is_over:
            return
        error = watching.exception()
        if isinstance(error, RunLost):
            self._lost = error
            self._task.cancel()
        elif error is None and watching.result():
            self.is_wished = True
            self._task.cancel()
