import asyncio

import pytest

from codebot.errors import CloneFailed
from codebot.workspace.at_once import at_once


async def test_the_first_error_ends_the_others_and_is_raised_as_it_is() -> None:
    ended = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        raise CloneFailed("no") from OSError("cut")

    async def do_both() -> None:
        async with at_once() as group:
            group.create_task(wait_for_ever())
            group.create_task(fail())

    with pytest.raises(CloneFailed) as failed:
        await do_both()
    assert ended.is_set()
    assert isinstance(failed.value.__cause__, OSError)


async def test_results_are_there_when_the_block_ends() -> None:
    async with at_once() as group:
        task = group.create_task(asyncio.sleep(0, "value"))
    assert task.result() == "value"
