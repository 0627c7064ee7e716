"""That nothing reads a whole table is seen by every test that has a database: here, that it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, select

from codebot.store.query import Query
from codebot.store.schema import tasks
from codebot.store.store import Store
from fakes.plans import Plans

BY_OWNER = Query(select(tasks.c.id).where(tasks.c.owner == bindparam("owner")))
PART = Query(select(tasks.c.id).where(tasks.c.seq < 9, tasks.c.owner == bindparam("owner")))
ENDED = "SELECT id FROM tasks WHERE completed_at IS NULL LIMIT 1"


async def test_a_part_of_a_table_in_which_few_rows_may_fit_is_found(
    database: Path | str, plans: Plans
) -> None:
    store = await Store.open(database)
    await store.tasks._reader.all(PART, {"owner": "octo"})
    await store.close()

    found = plans.scans_of_file() if isinstance(database, Path) else plans.scans_of_server(database)
    assert len(found) == 1


@pytest.mark.parametrize("by", ["reader", "writer"])
async def test_a_query_without_an_index_is_found(
    database: Path | str, plans: Plans, by: str
) -> None:
    store = await Store.open(database)

    def read(connection: Connection) -> Sequence[object]:
        return connection.exec_driver_sql(ENDED).all()

    if by == "reader":
        await store.tasks._reader.all(BY_OWNER, {"owner": "octo"})
    else:
        await store._writer.write(read)
    await store.close()

    found = plans.scans_of_file() if isinstance(database, Path) else plans.scans_of_server(database)
    assert len(found) == 1
