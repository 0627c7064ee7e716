"""How a command ends before its time: SIGTERM does what Ctrl-C does, also where that is ignored."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def end_as_interrupted() -> None:
    """Have SIGTERM unwind the stack of what waits for programs alone."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run_until_told(work: Coroutine[Any, Any, T]) -> T:
    """Run this to its end, or cancel it on SIGTERM and raise KeyboardInterrupt when it has ended.

    The event loop itself hears the signal: an exception out of the blue, in the middle of anybody's
    code, may be swallowed there, and the work would go on.
    """
    told: list[signal.Signals] = []

    async def heeding() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one

        def end() -> None:
            if not told:  # once: a second one would cut short what cleans up
                told.append(signal.SIGTERM)
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        return await work

    try:
        return asyncio.run(heeding())
    except asyncio.CancelledError:
        if told:
            raise KeyboardInterrupt from None
        raise
