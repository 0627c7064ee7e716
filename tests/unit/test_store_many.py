from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, event, select

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


@given(st.integers(1, LARGEST_CHUNK))
def test_a_batch_takes_at_most_two_statements(size: int) -> None:
    statements: list[str] = []
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        table.create(connection)
        event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))

        insert_rows(connection, [{"b": "b", "a": "a"}] * size)

    engine.dispose()
    assert len(statements) <= 2
