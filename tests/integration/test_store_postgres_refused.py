"""Whatever may be wrong with a PostgreSQL database has its own sentence, and shows no password."""

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import replace

import pytest

from codebot.errors import CodebotError, ConfigError, StoreUnavailable
from codebot.store.egress import read_egress
from codebot.store.postgres.fitness import Fitness, require_fit
from codebot.store.postgres.place import Place
from codebot.store.postgres.probing import examine_postgres
from codebot.store.store import Store
from fakes.pooler import statement_pooler
from fakes.postgres import Postgres
from fakes.service import free_port

PASSWORD = "s3cr3t-Passw0rd"
GOOD = Fitness(
    version=180000,
    encoding="UTF8",
    is_standby=False,
    is_read_only=False,
    schema="public",
    role="codebot",
    may_create=True,
)
PLACE = Place.of("postgresql://db.example/codebot")


@pytest.fixture
def role(postgres: Postgres) -> Iterator[str]:
    """A role that owns nothing, may make tables nowhere and comes in over TCP with PASSWORD."""
    postgres.run(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    yield "guest"
    postgres.run("DROP OWNED BY guest CASCADE", "DROP ROLE guest")


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """A database without tables."""
    name = postgres.make_database()
    yield name
    postgres.drop_database(name)


async def refusal(url: str) -> CodebotError:
    """Give what opening says; nothing of it, nor of its traceback, shows the password."""
    with pytest.raises(CodebotError) as refused:
        await asyncio.wait_for(Store.open(url), 60)
    error = refused.value
    assert error.hint or isinstance(error, ConfigError)
    assert PASSWORD not in "".join(traceback.format_exception(error))
    assert "s3cr3t" not in error.sentence
    return error


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr3t",
        "postgresql://me:s3cr3t/5@db/x",
        "postgresql://me:@s3cr3t@db/x",
        "postgresql://me:1?s3cr3t@db/x",
        "postgresql://me:x@db:s3cr3t/x",
        "postgresql://me:x@db:99999/x",
        "postgresql://me:x@db/x?s3cr3t=1",
        "postgresql://me:x@db/x?sslmode",
        "postgresql://me:x%zz@db/x",
        "postgresql+psycopg://me:s3cr3t@db/x",
        "mysql://me:s3cr3t@db/x",
        "host=db password=s3cr3t",
        "",
    ],
)
async def test_what_is_no_url_is_refused_and_not_shown(url: str) -> None:
    error = await refusal(url)

    assert isinstance(error, ConfigError)
    assert "CODEBOT_DATABASE_URL must be postgresql://ROLE:PASSWORD@HOST:PORT/NAME" in error.detail


async def test_a_server_that_is_not_there_may_come(postgres: Postgres) -> None:
    nowhere = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/codebot"
    for url in (nowhere, f"postgresql://me:{PASSWORD}@no-such-host.invalid/codebot"):
        error = await refusal(url)

        assert isinstance(error, StoreUnavailable)
        assert error.retry_after is not None
        assert "cannot be reached" in error.detail


async def test_whom_the_server_does_not_let_in_is_told_what_it_said(
    postgres: Postgres, role: str, empty: str
) -> None:
    for url, said in (
        (postgres.url_with(f"not-{PASSWORD}", empty, role), "password authentication failed"),
        (postgres.url_with(PASSWORD, "no_such_database", role), "does not exist"),
        (postgres.url(empty, "no_such_role"), "does not exist"),
    ):
        error = await refusal(url)

        assert isinstance(error, ConfigError)
        assert said in error.detail


async def test_a_role_without_rights_is_named_with_the_words_that_give_them(
    postgres: Postgres, role: str, empty: str, postgres_url: str
) -> None:
    error = await refusal(postgres.url_with(PASSWORD, empty, role))
    assert isinstance(error, ConfigError)
    assert "The role guest may make no tables" in error.detail
    assert "GRANT CREATE ON SCHEMA public TO guest" in error.sentence

    name = postgres_url.split("@/")[1].partition("?")[0]
    error = await refusal(postgres.url_with(PASSWORD, name, role))
    assert isinstance(error, ConfigError)
    assert "may not read and write" in error.detail
    assert "tasks" in error.detail

    postgres.run(
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
        database=name,
    )
    await (await Store.open(postgres.url_with(PASSWORD, name, role))).close()
    postgres.run("UPDATE alembic_version SET version_num = '0002'", database=name)
    postgres.run(f"GRANT CREATE ON SCHEMA public TO {role}", database=name)
    error = await refusal(postgres.url_with(PASSWORD, name, role))
    assert isinstance(error, ConfigError)
    assert "may not bring the tables" in error.detail
    postgres.run(f"DROP OWNED BY {role}", database=name)


async def test_a_role_without_a_schema_is_told_how_to_make_one(
    postgres: Postgres, role: str, empty: str
) -> None:
    postgres.run(f"ALTER ROLE {role} IN DATABASE {empty} SET search_path = nowhere")

    error = await refusal(postgres.url_with(PASSWORD, empty, role))

    assert isinstance(error, ConfigError)
    assert "CREATE SCHEMA AUTHORIZATION guest" in error.sentence


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["UPDATE alembic_version SET version_num = '9999'"], "made by a newer Codebot"),
        (["UPDATE alembic_version SET version_num = 'ae10'"], "tables of another program"),
        (["DROP TABLE alembic_version"], "tables of another program"),
    ],
)
async def test_tables_that_are_not_of_this_version_are_left_alone(
    postgres: Postgres, postgres_url: str, statements: list[str], words: str
) -> None:
    name = postgres_url.split("@/")[1].partition("?")[0]
    postgres.run(*statements, database=name)

    error = await refusal(postgres_url)

    assert isinstance(error, ConfigError)
    assert words in error.detail


async def test_a_database_that_takes_no_writes_may_later(postgres: Postgres, empty: str) -> None:
    postgres.run(f"ALTER DATABASE {empty} SET default_transaction_read_only = on")

    error = await refusal(postgres.url(empty))

    assert isinstance(error, StoreUnavailable)
    assert "takes no writes" in error.detail
    assert error.retry_after is not None


async def test_text_that_is_not_kept_as_utf8_is_refused(postgres: Postgres) -> None:
    postgres.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")

    error = await refusal(postgres.url("latin"))

    postgres.drop_database("latin")
    assert isinstance(error, ConfigError)
    assert "LATIN1" in error.detail


async def test_a_pooler_that_knows_no_transactions_is_named(postgres: Postgres, empty: str) -> None:
    socket = postgres.folder / f".s.PGSQL.{postgres.port}"
    async with statement_pooler(socket) as port:
        error = await refusal(f"postgresql://postgres@127.0.0.1:{port}/{empty}?sslmode=disable")

    assert isinstance(error, ConfigError)
    assert "takes single statements, and no transactions" in error.detail
    assert "pool_mode" in error.hint


def test_a_server_that_is_too_old_is_refused_and_a_standby_waited_for() -> None:
    require_fit(GOOD, PLACE)
    with pytest.raises(ConfigError, match="PostgreSQL 13, which is too old"):
        require_fit(replace(GOOD, version=130021), PLACE)
    with pytest.raises(StoreUnavailable, match="standby"):
        require_fit(replace(GOOD, is_standby=True), PLACE)


async def test_looking_changes_nothing(postgres: Postgres, empty: str) -> None:
    url = postgres.url(empty)

    examined = await examine_postgres(url)
    assert (examined.version, examined.plan.revision) == (18, None)
    with pytest.raises(ConfigError, match="another version"):
        await read_egress(url, "any")
    assert postgres.run("SELECT * FROM pg_tables WHERE schemaname = 'public'", database=empty) == []


async def test_several_nodes_that_start_at_once_make_the_tables_once(
    postgres: Postgres, empty: str
) -> None:
    stores = await asyncio.gather(*(Store.open(postgres.url(empty)) for _ in range(4)))

    for store in stores:
        await store.check_writable()
        await store.close()
