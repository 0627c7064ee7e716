"""Work that ends when somebody wants it to, as `asyncio.timeout` ends what takes too long."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self


class UntilWished:
    """Cancels the block in it when `wait` returns; `is_wished` says that it did.

    The cancellation ends with the block. One that comes from outside goes on, as ever.
    """

    def __init__(self, wait: Callable[[], Awaitable[str | None]]) -> None:
        """Watch for what `wait` waits for; None stands for nothing to wait for."""
        self._wait = wait
        self._is_over = False
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
        if not self.is_wished:
            return False
        is_ours = self._task.uncancel() <= self._before
        return is_ours and kind is asyncio.CancelledError

    def _end(self, watching: "asyncio.Future[str | None]") -> None:
        wished = not watching.cancelled() and watching.exception() is None and watching.result()
        if wished and not self._is_over:
            self.is_wished = True
            self._task.cancel()
