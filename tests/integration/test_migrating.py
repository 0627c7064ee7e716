"""The way of a database that nodes share to this version, a step at a time."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from codebot.errors import ConfigError
from codebot.store.postgres import opening
from codebot.store.postgres.migrating import migrate_after, migrate_before, plan_migration
from codebot.store.postgres.probing import can_listen
from codebot.store.store import Store
from codebot.store.upgrade import REVISION
from fakes.pooler import transaction_pooler
from fakes.postgres import Postgres

POST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"


@pytest.fixture
def database(postgres_url: str) -> str:
    return postgres_url.partition("@/")[2].partition("?")[0]


@pytest.fixture
def one_behind(postgres: Postgres, database: str) -> Callable[[], object]:
    """Bring the tables to where the version before had them."""
    back = ("DROP TABLE parcels", "UPDATE alembic_version SET version_num = '0006'")
    return lambda: postgres.run(*back, database=database)


async def test_a_plan_names_what_is_due_and_changes_nothing(
    postgres_url: str, postgres: Postgres, database: str, one_behind: Callable[[], object]
) -> None:
    assert (await plan_migration(postgres_url)).before == ()
    one_behind()
    postgres.run(f"DELETE FROM queue_scripts WHERE name = '{POST}'", database=database)

    for _ in range(2):
        plan = await plan_migration(postgres_url)
        assert (plan.revision, plan.before, plan.after) == ("0006", ("0007_parcels",), (POST,))


async def test_what_is_added_leaves_who_is_at_work_alone(
    postgres_url: str, one_behind: Callable[[], object]
) -> None:
    old = await Store.open(postgres_url)
    one_behind()

    assert (await migrate_before(postgres_url)).before == ("0007_parcels",)

    await old.check_writable()
    plan = await plan_migration(postgres_url)
    assert (plan.revision, plan.before) == (REVISION, ())
    await old.close()


async def test_what_is_taken_away_comes_after_what_is_added(
    postgres_url: str, postgres: Postgres, database: str, one_behind: Callable[[], object]
) -> None:
    one_behind()
    with pytest.raises(ConfigError, match=r"not ready for that: 0007_parcels is due"):
        await migrate_after(postgres_url)
    await migrate_before(postgres_url)
    postgres.run(f"DELETE FROM queue_scripts WHERE name = '{POST}'", database=database)

    assert (await migrate_after(postgres_url)).after == (POST,)
    assert (await migrate_after(postgres_url)).after == ()


async def test_a_lock_of_somebody_else_is_waited_for_in_short_waits(
    postgres_url: str, one_behind: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_LOCK_PAUSE", 0.2)
    one_behind()
    async with await psycopg.AsyncConnection.connect(postgres_url) as other:
        await other.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        migrating = asyncio.ensure_future(migrate_before(postgres_url))
        await asyncio.wait([migrating], timeout=4)
        assert not migrating.done()

    async with asyncio.timeout(10):
        assert (await migrating).before == ("0007_parcels",)


async def test_who_cannot_listen_is_known(
    postgres_url: str, postgres: Postgres, database: str
) -> None:
    assert await can_listen(postgres_url)
    socket = postgres.folder / f".s.PGSQL.{postgres.port}"
    async with transaction_pooler(socket) as port:
        through = f"postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable"
        assert not await can_listen(through)
