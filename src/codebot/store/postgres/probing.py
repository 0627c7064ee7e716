"""What an operator wants to know of a PostgreSQL database before it is used; nothing is changed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection, Error
from sqlalchemy import Connection, text

from codebot.store.postgres.migrating import Plan, plan_migration
from codebot.store.postgres.opening import examine, in_transaction, reached
from codebot.store.postgres.place import Place

_CHANNEL = "codebot_probe"
_NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, slots=True)
class Examined:
    """A database that could hold the store; `clock_ahead` is how much its clock is before ours."""

    database: str
    version: int
    clock_ahead: timedelta
    plan: Plan


async def examine_postgres(url: str) -> Examined:
    """Look at the database that a URL names; raises as `open_postgres`, and changes nothing."""

    def look(connection: Connection, place: Place) -> tuple[int, timedelta]:
        found, _ = examine(connection, place)
        before = datetime.now(UTC)
        server: datetime = connection.execute(_NOW).scalar_one()
        after = datetime.now(UTC)
        return found.major, server - (before + (after - before) / 2)

    async with reached(Place.of(url)) as (pool, place):
        version, ahead = await in_transaction(pool, place, lambda each: look(each, place))
        await pool.dispose()
        return Examined(str(place), version, ahead, await plan_migration(url))


async def can_listen(url: str) -> bool:
    """Say whether one connection stays the same from one transaction to the next.

    Behind a pooler in transaction mode it does not: another client takes it in between. Raises as
    `open_postgres` where there is no connection at all.
    """
    async with reached(Place.of(url)) as (pool, place):
        await pool.dispose()
    conninfo = place.conninfo.reveal()
    try:
        async with (
            await AsyncConnection.connect(conninfo, autocommit=True) as ours,
            await AsyncConnection.connect(conninfo) as another,
        ):
            await ours.execute(f"LISTEN {_CHANNEL}")
            await another.execute("SELECT 1")  # and its transaction stays open
            heard = await ours.execute("SELECT pg_listening_channels()")
            return (_CHANNEL,) in await heard.fetchall()
    except Error:
        return False
