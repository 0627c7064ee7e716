"""A clock that is set is noticed by how far it was set, and believed where that can do no harm."""

from datetime import timedelta

import pytest

from codebot.queue.clock import CarefulClock, ClockSet
from fakes.clock import Machine

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("by", [-HOUR, DAY], ids=str)
def test_a_clock_that_was_set_is_told_once(machine: Machine, by: timedelta) -> None:
    told = ClockSet(machine.clock, machine.elapsed)
    machine.rest(HOUR)
    assert told() == timedelta(0)

    machine.set_by(by)
    machine.rest(HOUR)

    assert told() == by
    assert told() == timedelta(0)


def test_a_clock_that_is_slowly_put_right_was_not_set(machine: Machine) -> None:
    told = ClockSet(machine.clock, machine.elapsed)
    machine.set_by(timedelta(seconds=1))

    assert told() == timedelta(0)


def test_nothing_is_thrown_away_for_a_clock_that_was_set_forwards(machine: Machine) -> None:
    careful = CarefulClock(machine.clock, DAY, machine.elapsed)
    before = careful()

    machine.set_by(DAY)
    machine.rest(HOUR)
    assert careful() == before + HOUR
    machine.rest(DAY)

    assert careful() == machine.clock()


def test_a_clock_that_is_set_right_again_is_believed(machine: Machine) -> None:
    careful = CarefulClock(machine.clock, DAY, machine.elapsed)
    for by in (DAY, -DAY, -HOUR):
        machine.set_by(by)
        careful()

    assert careful() == machine.clock()
