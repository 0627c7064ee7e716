"""The scripts that make the tables of the queue: Procrastinate's own, and what is ours beside them.

Which of them a database has seen is written down there. A script that takes something away is for
afterwards (`post`): the version before this one may still be at work.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from sqlalchemy import Connection, text

from codebot.errors import ConfigError

RECORD = "queue_scripts"
_OURS = "codebot_01_queue.sql"
_PACKAGE = "procrastinate.sql"
_MAKE_RECORD = text(f"""
    CREATE TABLE IF NOT EXISTS {RECORD} (
        name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
        applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
""")
_WRITE_DOWN = text(f"INSERT INTO {RECORD} (name) VALUES (:name)")  # noqa: S608  a constant
_READ = text(f"SELECT name FROM {RECORD}")  # noqa: S608


def pending(connection: Connection, database: str) -> list[str]:
    """Give the scripts that a database has not seen, in their order; [] for one that is current.

    Raises `ConfigError` for one that has seen scripts of a newer version.
    """
    known = _names()
    if not connection.dialect.has_table(connection, RECORD):
        return known
    seen = set(connection.execute(_READ).scalars())
    if seen - set(known):
        raise ConfigError(
            (f"The queue in {database} was made by a newer Codebot ({max(seen - set(known))}).",),
            hint="Install that version again, or restore the database from a backup.",
        )
    return [name for name in known if name not in seen]


def is_for_afterwards(name: str) -> bool:
    """Say whether a script takes away what the version before may need.

    >>> is_for_afterwards("03.04.00_50_post_x.sql"), is_for_afterwards("03.04.00_01_pre_x.sql")
    (True, False)
    """
    return "_post_" in name


def is_new(names: Sequence[str]) -> bool:
    """Say whether a database that has not seen these has seen none: nobody uses it yet."""
    return list(names) == _names()


def apply(connection: Connection, names: Sequence[str]) -> None:
    """Run scripts that a database has not seen; where it has seen none, all come to one."""
    connection.execute(_MAKE_RECORD)
    theirs = files(_PACKAGE)
    if is_new(names):
        _run(connection, theirs / "schema.sql")
        _run(connection, _own_script())
    else:
        for name in names:
            _run(connection, _own_script() if name == _OURS else theirs / "migrations" / name)
    for name in names:
        connection.execute(_WRITE_DOWN, {"name": name})


def _names() -> list[str]:
    return [*sorted(_theirs()), _OURS]


def _theirs() -> Iterator[str]:
    for script in (files(_PACKAGE) / "migrations").iterdir():
        if script.name.endswith(".sql"):
            yield script.name


def _own_script() -> Traversable:
    return files(__package__) / "queue.sql"


def _run(connection: Connection, script: Traversable) -> None:
    """Run all statements of a file; the driver takes several at once where there are no values."""
    cursor = connection.connection.cursor()
    cursor.execute(script.read_text())
    cursor.close()
