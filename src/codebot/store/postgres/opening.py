"""How a PostgreSQL database is opened: each thing that may be wrong with it has its own words."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

from psycopg import AsyncConnection, Error, pq
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from codebot.errors import CodebotError, ConfigError, StoreUnavailable
from codebot.store.postgres.connections import DEADLINE_SECONDS, open_pool
from codebot.store.postgres.faults import (
    FORBIDDEN,
    LOCKED,
    is_lost,
    server_faults,
    state_of,
    unavailable,
)
from codebot.store.postgres.fitness import Fitness, look, require_fit, require_room
from codebot.store.postgres.place import Place
from codebot.store.postgres.scripts import apply, is_for_afterwards, is_new, pending
from codebot.store.upgrade import REVISION, known_revision, make_tables, migrate

T = TypeVar("T")

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7161346302451)")
"""Of several nodes that start on a new version one migrates; the number is ours by chance."""

_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '2s'")
"""Whoever waits for the lock of a table has everybody else wait behind him."""

_NO_STATEMENT_TIMEOUT = text("SET LOCAL statement_timeout = 0")
_LOCK_TRIES = 10
_LOCK_PAUSE = 1.0
_LONGEST_SAYING = 300


async def open_postgres(url: str) -> AsyncEngine:
    """Open the database that a URL names, with every table in place.

    Raises `ConfigError` for what a person has to mend, `StoreUnavailable` for what may pass by
    itself: a server that cannot be reached, starts or is a standby.
    """
    async with reached(Place.of(url)) as (pool, place):
        await with_retries(pool, place, lambda connection: bring_up_to_date(connection, place))
        return pool


async def open_postgres_beside(url: str) -> AsyncEngine:
    """Open the database to read what a service keeps there, and change nothing in it.

    Raises as `open_postgres` does, and `ConfigError` for tables of another version.
    """
    async with reached(Place.of(url)) as (pool, place):
        await in_transaction(pool, place, lambda connection: _require_current(connection, place))
        return pool


@asynccontextmanager
async def reached(place: Place) -> AsyncIterator[tuple[AsyncEngine, Place]]:
    """Give the pool once the server lets us in; close it again when the block fails."""
    async with AsyncExitStack() as undo:
        place = await _come_in(place)
        pool = open_pool(place)
        undo.push_async_callback(pool.dispose)
        yield pool, place
        undo.pop_all()


async def _come_in(place: Place) -> Place:
    """Connect once, and give the place as it lets us in: some poolers do so without bounds only."""
    try:
        await _connect_once(place)
    except (Error, TimeoutError) as error:
        unbounded = place.without_bounds()
        with suppress(Error, TimeoutError):
            await _connect_once(unbounded)
            return unbounded
        raise await _why_not(place, error) from None  # what libpq says may hold the password
    return place


async def _connect_once(place: Place) -> None:
    """Come in outside of any transaction; SQLAlchemy's own first steps are within one."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        entered = await AsyncConnection.connect(place.conninfo.reveal(), autocommit=True)
        async with entered:
            await entered.execute("SELECT 1")


async def _why_not(place: Place, error: Exception) -> CodebotError:
    """Say why there is no connection; libpq itself knows whether a server is there at all."""
    state = await asyncio.to_thread(pq.PGconn.ping, place.conninfo.reveal().encode())
    said = place.mask(" ".join(str(error).split()))[:_LONGEST_SAYING]
    if state == pq.Ping.NO_RESPONSE:
        return unavailable(
            f"The database server {place.server} cannot be reached: {said}",
            "Start it, or correct host and port in CODEBOT_DATABASE_URL.",
        )
    if state == pq.Ping.REJECT:
        return unavailable(
            f"The database server {place.server} takes no connections now: {said}",
            "It starts, stops or recovers; nothing to do if it is through soon.",
        )
    return ConfigError(
        (f"The database server {place.server} does not let the role in: {said}",),
        hint="Correct role, password and name in CODEBOT_DATABASE_URL, or let the role in.",
    )


async def with_retries(pool: AsyncEngine, place: Place, work: Callable[[Connection], T]) -> T:
    """As `in_transaction`, again where another one holds a lock, and for as long as it takes."""

    def bounded(connection: Connection) -> T:
        connection.execute(_LOCK_TIMEOUT)
        connection.execute(_NO_STATEMENT_TIMEOUT)
        return work(connection)

    for _ in range(_LOCK_TRIES - 1):
        try:
            return await in_transaction(pool, place, bounded, deadline=None)
        except StoreUnavailable as error:
            if error.__cause__ is None or state_of(error.__cause__) != LOCKED:
                raise
        await asyncio.sleep(_LOCK_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311
    return await in_transaction(pool, place, bounded, deadline=None)


async def in_transaction(
    pool: AsyncEngine,
    place: Place,
    work: Callable[[Connection], T],
    *,
    deadline: float | None = DEADLINE_SECONDS,
) -> T:
    """Give what `work` gives in a transaction, which is committed.

    Whoever lets statements in, but no transaction, is a pooler that hands each statement on alone.
    """
    has_begun = False
    with server_faults():
        try:
            async with asyncio.timeout(deadline), pool.begin() as connection:
                await connection.execute(text("SELECT 1"))
                has_begun = True
                return await connection.run_sync(work)
        except DBAPIError as error:
            if state_of(error) == FORBIDDEN:
                raise _not_the_owner(place) from error
            if has_begun or not is_lost(error):
                raise
    await _come_in(place)
    raise ConfigError(
        (f"{place.server} is a pooler that takes single statements, and no transactions.",),
        hint="Set its pool_mode to transaction or session, or let CODEBOT_DATABASE_URL name the"
        " server itself.",
    )


def _not_the_owner(place: Place) -> ConfigError:
    return ConfigError(
        (f"The role {place.role} may not bring the tables of {place} up to date.",),
        hint="Start this version once as the role that made them.",
    )


def bring_up_to_date(connection: Connection, place: Place) -> None:
    """Make what is missing; of several nodes that start at once, one does so."""
    _, revision = examine(connection, place)
    if revision == REVISION and not _scripts_due(connection, place):
        return
    take_the_turn(connection)
    revision = known_revision(connection, str(place))
    if revision is None:
        make_tables(connection)
    elif revision != REVISION:
        migrate(connection)
    apply(connection, _scripts_due(connection, place))


def take_the_turn(connection: Connection) -> None:
    """Be the only one who changes the tables, until the transaction ends."""
    connection.execute(_ONE_AT_A_TIME)


def _scripts_due(connection: Connection, place: Place) -> list[str]:
    """Give the scripts of the queue that a start runs.

    On tables that are in use those that take something away are left to a person: the version
    before this one may need it until its last node has gone.
    """
    due = pending(connection, str(place))
    return due if is_new(due) else [name for name in due if not is_for_afterwards(name)]


def _require_current(connection: Connection, place: Place) -> None:
    _, revision = examine(connection, place)
    if revision != REVISION:
        raise ConfigError(
            (f"The database {place} belongs to another version of Codebot.",),
            hint="Use the version that serves it; a newer one takes it over when it starts.",
        )


def examine(connection: Connection, place: Place) -> tuple[Fitness, str | None]:
    """Give what the database is, and its revision; raises where it cannot hold the store."""
    found = look(connection)
    require_fit(found, place)
    revision = known_revision(connection, str(place))
    if revision is None:
        require_room(found, place)
    return found, revision
