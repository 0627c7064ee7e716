"""What a round uses is written down as differences: each dollar once, whatever goes wrong."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from codebot.agent.ledger import Ledger
from codebot.domain.event import EventData, EventType
from codebot.domain.outcome import Usage
from codebot.errors import RunLost, StoreUnavailable
from codebot.gateway.metering import Metered
from codebot.store.patience import LONGEST_OUTAGE, patience
from codebot.store.steps import TaskChanges


class SlowStore:
    """Stands for the store's steps: adds up, slowly, what is noted, unless it fails."""

    def __init__(self) -> None:
        self.steps = self
        self.usage = Usage()
        self.told: list[EventType] = []
        self.fault: Exception | None = None
        self.patience = timedelta(0)

    async def note(self, run: Any, changes: TaskChanges, events: Sequence[EventData]) -> None:
        """Once asked for, a write is made, whether its caller waits for it or not."""
        await asyncio.shield(self._commit(changes, events))

    async def _commit(self, changes: TaskChanges, events: Sequence[EventData]) -> None:
        await asyncio.sleep(0.01)
        self.patience = patience()
        if self.fault is not None:
            raise self.fault
        self.usage += changes.usage or Usage()
        self.told += [kind for kind, _ in events]


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


def a_ledger(store: Any) -> Ledger:
    return Ledger(store, None)  # type: ignore[arg-type]


def metered(turns: int) -> Metered:
    return Metered(Usage(turns, 10 * turns, turns, 0.25 * turns), calls=turns)


async def test_each_turn_is_added_once(store: SlowStore) -> None:
    ledger = a_ledger(store)
    for turns in (1, 2, 4):
        await ledger.hear(metered(turns), ())
        assert store.usage == metered(turns).usage
    await ledger.close(metered(4))
    assert store.usage == metered(4).usage
    assert store.told == [EventType.MODEL_METERED]


async def test_calls_that_end_together_are_added_once(store: SlowStore) -> None:
    ledger = a_ledger(store)
    await asyncio.gather(*(ledger.hear(metered(turns), ()) for turns in (1, 2, 3)))
    assert store.usage == metered(3).usage


async def test_a_write_whose_caller_is_cancelled_is_not_made_again(store: SlowStore) -> None:
    ledger = a_ledger(store)
    hearing = asyncio.create_task(ledger.hear(metered(2), ()))
    await asyncio.sleep(0.005)
    hearing.cancel()
    await ledger.close(metered(3))
    assert hearing.cancelled()
    assert store.usage == metered(3).usage


async def test_what_could_not_be_written_is_in_the_next_difference(store: SlowStore) -> None:
    ledger = a_ledger(store)
    store.fault = StoreUnavailable("The disk is full.")
    await ledger.hear(metered(2), [(EventType.BUDGET_WARNED, {})])
    store.fault = None
    await ledger.hear(metered(3), ())
    assert store.usage == metered(3).usage
    assert store.told == [EventType.BUDGET_WARNED]


async def test_what_a_call_used_waits_for_a_database_that_is_away(store: SlowStore) -> None:
    await a_ledger(store).hear(metered(1), ())
    assert (store.patience, patience()) == (LONGEST_OUTAGE, timedelta(0))


async def test_a_run_that_is_lost_is_told_at_the_end(store: SlowStore) -> None:
    ledger = a_ledger(store)
    store.fault = RunLost("Somebody else has it.")
    await ledger.hear(metered(1), ())
    with pytest.raises(RunLost):
        await ledger.close(metered(1))


async def test_a_round_without_a_model_tells_nothing(store: SlowStore) -> None:
    await a_ledger(store).close(Metered())
    assert store.told == []
