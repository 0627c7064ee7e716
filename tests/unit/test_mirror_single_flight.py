import asyncio

import pytest

from codebot.workspace.single_flight import Relay, SingleFlight


class Work:
    def __init__(self) -> None:
        self.started = 0
        self.cancelled = False
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.started += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error:
            raise self.error


async def begin(
    flights: "SingleFlight[None] | Relay[None]", work: Work, callers: int
) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(flights.join("m", work)) for _ in range(callers)]
    await asyncio.sleep(0)  # the callers take off
    await asyncio.sleep(0)  # the work begins
    assert work.started
    return tasks


async def test_who_arrives_during_the_work_shares_it() -> None:
    flights, work = SingleFlight(), Work()
    callers = await begin(flights, work, 8)
    work.gate.set()
    await asyncio.gather(*callers)
    assert work.started == 1
    await flights.join("m", work)
    assert work.started == 2


async def test_an_error_is_everyones_and_is_forgotten_afterwards() -> None:
    flights, work = SingleFlight(), Work()
    callers = await begin(flights, work, 3)
    work.error = ValueError("no")
    work.gate.set()
    said = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(error) for error in said] == ["no"] * 3
    work.error = None
    await flights.join("m", work)


async def test_one_caller_who_gives_up_does_not_stop_the_others() -> None:
    flights, work = SingleFlight(), Work()
    first, second = await begin(flights, work, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.gate.set()
    await second
    assert not work.cancelled


async def test_the_work_ends_when_nobody_waits_for_it_any_more() -> None:
    flights, work = SingleFlight(), Work()
    callers = await begin(flights, work, 2)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await asyncio.sleep(0)
    assert work.cancelled


async def test_who_leaves_last_leaves_when_the_work_has_put_its_things_away() -> None:
    flights: SingleFlight[None] = SingleFlight()
    is_tidy = False

    async def untidy() -> None:
        nonlocal is_tidy
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            is_tidy = True

    waiting = asyncio.create_task(flights.join("a", untidy))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert is_tidy


async def test_of_a_relay_too_all_share_one_result_and_one_error() -> None:
    relay, work = Relay[None](), Work()
    callers = await begin(relay, work, 3)
    work.error = ValueError("no")
    work.gate.set()
    said = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(error) for error in said] == ["no"] * 3
    assert work.started == 1
    work.error = None
    await relay.join("m", work)


async def test_when_who_works_is_cancelled_one_of_those_who_wait_does_it_by_means_of_its_own() -> (
    None
):
    relay, first, second = Relay[None](), Work(), Work()
    (leading,) = await begin(relay, first, 1)
    waiting = [asyncio.create_task(relay.join("m", second)) for _ in range(2)]
    await asyncio.sleep(0)
    assert second.started == 0
    leading.cancel()
    await asyncio.wait([leading])
    assert first.cancelled
    second.gate.set()
    await asyncio.gather(*waiting)
    assert (first.started, second.started) == (1, 1)


async def test_who_only_waits_can_leave_a_relay_alone() -> None:
    relay, work = Relay[None](), Work()
    leading, waiting = await begin(relay, work, 2)
    waiting.cancel()
    await asyncio.wait([waiting])
    work.gate.set()
    await leading
    assert (work.started, work.cancelled) == (1, False)
