"""What comes too slowly is not waited for; who reads slowly is no fault of the sender."""

from collections.abc import AsyncIterator

import httpx
import pytest

from codebot.network.pace import SLOWEST, WINDOW, paced


async def body(ticks: list[float], clock: list[float], size: int) -> AsyncIterator[bytes]:
    """Give pieces of a size, each after some seconds."""
    for seconds in ticks:
        clock[0] += seconds
        yield bytes(size)


async def test_a_body_that_comes_in_drops_is_not_waited_for() -> None:
    now = [0.0]
    pieces = paced(body([1.0] * 1000, now, 1), clock=lambda: now[0])
    with pytest.raises(httpx.ReadTimeout):
        [_ async for _ in pieces]
    assert now[0] == WINDOW


async def test_a_slow_line_is_waited_for() -> None:
    now = [0.0]
    pieces = paced(body([10.0] * 100, now, 10 * SLOWEST), clock=lambda: now[0])
    assert len([piece async for piece in pieces]) == 100


async def test_a_slow_reader_is_no_slow_sender() -> None:
    now = [0.0]
    came = 0
    async for piece in paced(body([0.0] * 100, now, 1), clock=lambda: now[0]):
        now[0] += 30
        came += len(piece)
    assert came == 100
