"""Whether a PostgreSQL database can hold the store: what was found there, and the rules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text

from codebot.errors import ConfigError, StoreUnavailable
from codebot.store.postgres.faults import unavailable
from codebot.store.postgres.place import Place
from codebot.store.schema import metadata
from codebot.store.upgrade import VERSION_TABLE

OLDEST = 14
"""The oldest major version that PostgreSQL's own people still look after."""

_PER_MAJOR = 10_000
_UTF8 = "UTF8"
_LOOK = text("""
    SELECT current_setting('server_version_num')::int,
        current_setting('server_encoding'),
        pg_is_in_recovery(),
        current_setting('transaction_read_only')::bool,
        current_schema()::text,
        current_user::text,
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
""")
_LOOK_AT_TABLES = text("""
    SELECT relname::text FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace
    AND relkind = 'r' AND relname = ANY (:names)
    AND NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
    )
    ORDER BY relname
""")


@dataclass(frozen=True, slots=True)
class Fitness:
    """What a database says of itself. `schema` is where tables are made, None where nowhere."""

    version: int
    encoding: str
    is_standby: bool
    is_read_only: bool
    schema: str | None
    role: str
    may_create: bool
    closed_tables: tuple[str, ...] = ()

    @property
    def major(self) -> int:
        """The version as people call it."""
        return self.version // _PER_MAJOR


def look(connection: Connection) -> Fitness:
    """Ask the database."""
    found: Sequence[Any] = connection.execute(_LOOK).one()
    names = [*metadata.tables, VERSION_TABLE]
    closed = connection.execute(_LOOK_AT_TABLES, {"names": names}).scalars()
    return replace(Fitness(*found), closed_tables=tuple(closed))


def require_fit(found: Fitness, place: Place) -> None:
    """Raise `ConfigError` for a database that cannot hold the store as it is.

    `StoreUnavailable` for one that takes no writes now: after a failover it may.
    """
    if found.major < OLDEST:
        raise ConfigError(
            (f"The server of {place} is PostgreSQL {found.major}, which is too old.",),
            hint=f"Codebot needs {OLDEST} or newer.",
        )
    if found.encoding != _UTF8:
        raise ConfigError(
            (f"The database {place} keeps its text as {found.encoding}, not as UTF8.",),
            hint=f"Make one that does: createdb --encoding=UTF8 --template=template0 {place.name}",
        )
    if found.is_standby or found.is_read_only:
        raise _read_only(found, place)
    _require_rights(found, place)


def _read_only(found: Fitness, place: Place) -> StoreUnavailable:
    why = "the server is a standby" if found.is_standby else "it is read-only for this role"
    return unavailable(
        f"The database {place} takes no writes: {why}.",
        "Let CODEBOT_DATABASE_URL name the primary, or add"
        " target_session_attrs=read-write to a URL that names all servers.",
    )


def _require_rights(found: Fitness, place: Place) -> None:
    role = _quoted(found.role)
    if found.closed_tables:
        closed = ", ".join(found.closed_tables)
        raise ConfigError(
            (f"The role {found.role} may not read and write all of {place} ({closed}).",),
            hint=f"Connect as the role that made them, or let that one run: GRANT ALL ON ALL TABLES"
            f" IN SCHEMA {_quoted(found.schema or 'public')} TO {role}; and the same with ALL"
            " SEQUENCES.",
        )


def require_room(found: Fitness, place: Place) -> None:
    """Raise `ConfigError` where no tables can be made."""
    role = _quoted(found.role)
    if found.schema is None:
        raise ConfigError(
            (f"There is no schema in {place} in which the role {found.role} would make tables.",),
            hint=f"Run there: CREATE SCHEMA AUTHORIZATION {role}",
        )
    if not found.may_create:
        raise ConfigError(
            (f"The role {found.role} may make no tables in {place}.",),
            hint="Run there as its owner:"
            f" GRANT CREATE ON SCHEMA {_quoted(found.schema)} TO {role}",
        )


def _quoted(name: str) -> str:
    """Give a name as SQL takes it, whatever letters it has.

    >>> _quoted("codebot"), _quoted("Code bot")
    ('codebot', '"Code bot"')
    """
    plain = name.isidentifier() and name.isascii() and name.islower()
    return name if plain else '"{}"'.format(name.replace('"', '""'))
