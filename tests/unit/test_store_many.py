from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, select

from codebot.store.many import LARGEST_CHUNK, InsertMany

table = Table(
    "rows",
    MetaData(),
    Column("seq", Integer, primary_key=True),
    Column("a", Text),
    Column("b", Text),
)
insert_rows = InsertMany(table, {"b", "a"})


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=3 * LARGEST_CHUNK))
def test_any_number_of_rows_is_inserted_in_order(rows: list[tuple[str, str | None]]) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        table.create(connection)

        insert_rows(connection, [{"b": b, "a": a} for a, b in rows])

        found = connection.execute(select(table.c.a, table.c.b).order_by(table.c.seq)).all()
    engine.dispose()
    assert [tuple(row) for row in found] == rows
