"""The way of a database to this version, in two steps, while nodes of the one before are at work.

What is added comes before the first node of this version (`pre`); what is taken away comes once the
last one of the version before has ended (`post`).
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from codebot.errors import ConfigError
from codebot.store.postgres.opening import (
    bring_up_to_date,
    examine,
    in_transaction,
    reached,
    take_the_turn,
    with_retries,
)
from codebot.store.postgres.place import Place
from codebot.store.postgres.scripts import apply, is_for_afterwards, is_new, pending
from codebot.store.upgrade import migrations_after


@dataclass(frozen=True, slots=True)
class Plan:
    """What is still to be done to a database; `revision` is None for one without tables."""

    database: str
    revision: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]


async def plan_migration(url: str) -> Plan:
    """Say what a database still needs; raises as `open_postgres`, and changes nothing."""
    async with reached(Place.of(url)) as (pool, place):
        plan = await in_transaction(pool, place, lambda connection: _plan(connection, place))
        await pool.dispose()
        return plan


async def migrate_before(url: str) -> Plan:
    """Add what this version needs, and give what was to be done; raises as `open_postgres`."""

    def add(connection: Connection, place: Place) -> Plan:
        plan = _plan(connection, place)
        bring_up_to_date(connection, place)
        return plan

    async with reached(Place.of(url)) as (pool, place):
        plan = await with_retries(pool, place, lambda connection: add(connection, place))
        await pool.dispose()
        return plan


async def migrate_after(url: str) -> Plan:
    """Take away what only the version before needed, and give what was to be done.

    Raises as `open_postgres`, and `ConfigError` where something is to be added first.
    """

    def take_away(connection: Connection, place: Place) -> Plan:
        take_the_turn(connection)
        plan = _plan(connection, place)
        if plan.before:
            raise ConfigError(
                (f"The database {place} is not ready for that: {', '.join(plan.before)} is due.",),
                hint="Run `codebot migrate --pre` first, and --post when all nodes are new.",
            )
        if plan.after:
            apply(connection, plan.after)
        return plan

    async with reached(Place.of(url)) as (pool, place):
        plan = await with_retries(pool, place, lambda connection: take_away(connection, place))
        await pool.dispose()
        return plan


def _plan(connection: Connection, place: Place) -> Plan:
    _, revision = examine(connection, place)
    due = pending(connection, str(place))
    after = () if is_new(due) else tuple(name for name in due if is_for_afterwards(name))
    scripts = [name for name in due if name not in after]
    return Plan(str(place), revision, (*migrations_after(revision), *scripts), after)
