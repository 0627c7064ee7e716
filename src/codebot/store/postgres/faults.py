"""What PostgreSQL's errors mean to the rest of the product."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from codebot.errors import StoreUnavailable

_RETRY_AFTER = timedelta(seconds=10)
FORBIDDEN = "42501"
LOCKED = "55P03"
_NO_TABLE = "42P01"
_FACTS = {
    "53100": ("The disk of the database server is full.", "Free some space there."),
    "53200": ("The database server is out of memory.", "Give it more, or let it do less."),
    "53300": (
        "The database server takes no more connections.",
        "Raise its max_connections, or put a pooler in between.",
    ),
    "25006": (
        "The database takes no writes: the server is a standby, or was made read-only.",
        "Let CODEBOT_DATABASE_URL name the primary.",
    ),
    FORBIDDEN: (
        "The database role may not do that any more.",
        "Grant it all rights on the tables again, and on the sequences beside them.",
    ),
    _NO_TABLE: (
        "A table of the database is gone.",
        "Restore the database from a backup, and restart the service.",
    ),
    LOCKED: ("A table of the database is locked by another program.", "End what holds the lock."),
    "57014": ("The database server gave a statement up: it took too long.", "Look at its load."),
}
"""By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_LASTING = {FORBIDDEN, _NO_TABLE}
_LOST_CLASSES = ("08", "57P", "25P03")
_DAMAGED_CLASS = "XX0"

LOST = (
    "The connection to the database server was lost.",
    "Nothing to do if it was restarted; else look whether it runs and can be reached.",
)
SLOW = ("The database server does not answer.", "Look whether it runs, and at its load.")


def state_of(error: BaseException) -> str:
    """Give the SQLSTATE of an error, "" where the server said none."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def is_lost(error: DBAPIError) -> bool:
    """Say whether the connection is gone, and with it all that was not committed."""
    state = state_of(error)
    never_said_why = isinstance(error, OperationalError) and not state
    return error.connection_invalidated or never_said_why or state.startswith(_LOST_CLASSES)


def translated(error: DBAPIError) -> Exception:
    """Give the `StoreUnavailable` that says what the server did; else the error itself.

    What is left over (a violated constraint, wrong SQL) is not about the store's health.
    """
    state = state_of(error)
    if state in _FACTS:
        fact, hint = _FACTS[state]
        return unavailable(fact, hint, passes=state not in _LASTING)
    if state.startswith(_DAMAGED_CLASS):
        return unavailable(
            f"The database server reports a fault of its own ({state}).",
            "Look at its log; restore the database from a backup if need be.",
            passes=False,
        )
    return unavailable(*LOST) if is_lost(error) else error


def unavailable(fact: str, hint: str, *, passes: bool = True) -> StoreUnavailable:
    """Give the error; what passes by itself is worth another try."""
    return StoreUnavailable(fact, hint=hint, retry_after=_RETRY_AFTER if passes else None)


@contextmanager
def server_faults(*, is_harmless: bool = False) -> Iterator[None]:
    """Turn the driver's errors inside the block into `StoreUnavailable` where they are that.

    `is_harmless` says that the block can be done again, whatever it came to; one that passes is
    marked so.
    """
    try:
        yield
    except (PoolExhausted, TimeoutError) as error:
        raise _marked(unavailable(*SLOW), is_harmless) from error
    except DBAPIError as error:
        raise _marked(translated(error), is_harmless) from error


def _marked(error: Exception, is_harmless: bool) -> Exception:  # noqa: FBT001
    if isinstance(error, StoreUnavailable):
        error.is_harmless = is_harmless and error.retry_after is not None
    return error
