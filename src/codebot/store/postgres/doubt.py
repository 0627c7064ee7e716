"""What became of a commit whose answer never came: the server knows it by the transaction's number.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from codebot.store.postgres.faults import LOST, server_faults, state_of, unavailable

_NUMBER = text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
_STATUS = text("SELECT pg_xact_status(CAST(CAST(:number AS text) AS xid8))")
_NEVER_HEARD_OF = "22023"


@dataclass(slots=True)
class Commit:
    """What a transaction gave, and its number, None until it is about to be committed."""

    result: Any = None
    number: str | None = None

    async def announce(self, connection: AsyncConnection) -> None:
        """Learn the number of the transaction that is open."""
        self.number = (await connection.execute(_NUMBER)).scalar_one()


async def is_committed(pool: AsyncEngine, number: str) -> bool:
    """Say whether a transaction was committed; raises `StoreUnavailable` while nobody knows."""
    with server_faults(is_harmless=True):
        try:
            async with pool.connect() as connection:
                status = (await connection.execute(_STATUS, {"number": number})).scalar_one()
        except DBAPIError as error:
            if state_of(error) != _NEVER_HEARD_OF:
                raise
            return False  # by a server that took the place of the one that had it
    if status not in {"committed", "aborted"}:
        unknown = unavailable(*LOST)
        unknown.is_harmless = True
        raise unknown
    return bool(status == "committed")
