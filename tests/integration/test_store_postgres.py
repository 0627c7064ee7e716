"""What only a database with several writers, on a server of its own, can get wrong."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from codebot.domain.egress import AccessVerdict
from codebot.domain.event import EventType
from codebot.domain.outcome import PullRequest, Usage
from codebot.domain.run import QueueName, Run
from codebot.domain.task import NewTask, TaskId
from codebot.errors import RunLost, StoreUnavailable
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.egress import AccessTotal
from codebot.store.fence import require_run
from codebot.store.patience import patient
from codebot.store.postgres import connections
from codebot.store.pull_requests import PullRequestRecord
from codebot.store.steps import TaskChanges
from codebot.store.store import Store, new_uuid7
from fakes.clock import START, Clock
from fakes.pooler import cutting_line, statement_pooler
from fakes.postgres import Postgres, run_postgres, standing_still, start, stop
from fakes.tasks import COMPLETED, new_task, review_of

LARGE = 1 << 40
A_MOMENT = 0.3


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    store = await Store.open(postgres_url, now=Clock())
    yield store
    await store.close()


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[Store]:
    """The same database, as another node sees it."""
    store = await Store.open(postgres_url, now=Clock())
    yield store
    await store.close()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that a test may stop."""
    with run_postgres() as server:
        yield server


def queue_of(store: Store) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=1000, now=Clock(), new_id=new_uuid7)


async def submitted(store: Store) -> NewTask:
    new = new_task()
    await queue_of(store).submit(new)
    return new


async def claimed(store: Store) -> Run:
    await submitted(store)
    run = await store.runs.claim(QueueName.TASKS, START)
    assert run is not None
    return run


class Held:
    """A write that has told its event and does not commit until it is let go."""

    def __init__(self, store: Store, run: Run, said: str) -> None:
        self._has_told, self._goes_on = asyncio.Event(), asyncio.Event()

        def tell(connection: Connection) -> None:
            store.events._record.of_run(connection, run, [(EventType.AGENT_SAID, {"text": said})])
            self._has_told.set()
            await_only(self._goes_on.wait())

        self.written = store._writer.write(tell)

    async def told(self) -> None:
        await self._has_told.wait()

    async def let_go(self) -> None:
        self._goes_on.set()
        await self.written


async def said_after(store: Store, run: Run, seq: int) -> list[tuple[int, str]]:
    events = await store.events.after(run.task_id, seq, 100)
    return [(event.seq, event.data["text"]) for event in events if "text" in event.data]


async def test_a_reader_who_goes_on_after_the_last_event_misses_none_that_commits_later(
    store: Store, other: Store
) -> None:
    run = await claimed(store)
    early = Held(store, run, "numbered first, committed last")
    await early.told()

    late = asyncio.ensure_future(
        other.events.append(run.task_id, run.id, EventType.AGENT_SAID, {"text": "late"})
    )
    await asyncio.wait([late], timeout=A_MOMENT)
    seen = await said_after(store, run, 0)
    await early.let_go()
    await late
    seen += await said_after(store, run, seen[-1][0] if seen else 0)

    assert [text for _, text in seen] == ["numbered first, committed last", "late"]


async def test_events_of_different_tasks_wait_for_nobody(store: Store, other: Store) -> None:
    run, second = await claimed(store), await claimed(store)
    held = Held(store, run, "long")
    await held.told()

    async with asyncio.timeout(10):
        await other.events.append(second.task_id, second.id, EventType.AGENT_SAID, {"text": "x"})

    await held.let_go()


async def test_nobody_takes_a_run_over_while_its_holder_writes(store: Store, other: Store) -> None:
    run = await claimed(store)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    def note(connection: Connection) -> None:
        require_run(connection, run)
        begun.set()
        await_only(goes_on.wait())

    noting = store._writer.write(note)
    await begun.wait()
    taking = asyncio.ensure_future(other.runs.interrupt(run))
    await asyncio.wait([taking], timeout=A_MOMENT)

    assert not taking.done()
    goes_on.set()
    await noting
    await taking
    with pytest.raises(RunLost):
        await store.steps.note(run, TaskChanges(branch_pushed=True))


async def test_of_many_nodes_that_claim_each_gets_runs_of_its_own(
    store: Store, other: Store
) -> None:
    tasks = [await submitted(store) for _ in range(12)]

    claims = await asyncio.gather(
        *(node.runs.claim(QueueName.TASKS, START) for _ in range(10) for node in (store, other))
    )

    runs = [run for run in claims if run is not None]
    assert sorted(run.task_id for run in runs) == sorted(task.id for task in tasks)


async def test_one_key_runs_once_however_many_nodes_claim_and_in_its_order(
    store: Store, other: Store
) -> None:
    new = await submitted(store)
    reviews = [review_of(new, "user/repo#1") for _ in range(4)]
    for review in reviews:
        await store.submissions.add_run(review)

    done = []
    for _ in reviews:
        claims = await asyncio.gather(
            *(
                node.runs.claim(QueueName.REVIEWS, START)
                for _ in range(4)
                for node in (store, other)
            )
        )
        (run,) = [run for run in claims if run is not None]
        done.append(run.id)
        await other.runs.finish(run, COMPLETED, START)

    assert done == [review.id for review in reviews]


async def test_two_writes_that_wait_for_each_other_both_end(store: Store, other: Store) -> None:
    runs = [await claimed(store) for _ in range(2)]
    met = asyncio.Barrier(2)
    tries: list[str] = []

    def both(first: Run, second: Run, node: str) -> object:
        def write(connection: Connection) -> None:
            lock = text("SELECT 1 FROM tasks WHERE id = :id FOR UPDATE")
            connection.execute(lock, {"id": first.task_id})
            if node not in tries:
                tries.append(node)
                await_only(met.wait())
            tries.append(node)
            connection.execute(lock, {"id": second.task_id})

        return write

    await asyncio.gather(
        store._writer.write(both(runs[0], runs[1], "one")),
        other._writer.write(both(runs[1], runs[0], "two")),
    )

    assert len(tries) == 5  # each came and went on, and the one that gave way came again


async def test_a_write_is_made_whoever_stops_waiting_for_it(store: Store) -> None:
    new = new_task()
    submitting = asyncio.ensure_future(queue_of(store).submit(new))
    await asyncio.sleep(0)
    submitting.cancel()
    with suppress(asyncio.CancelledError):
        await submitting
    run = review_of(new, "user/repo#1")
    adding = asyncio.ensure_future(store.submissions.add_run(run))
    await asyncio.sleep(0)
    adding.cancel()

    await store._writer.finish()

    assert await store.tasks.is_known(new.id)
    assert await store.runs.get(run.id) == run


async def test_numbers_beyond_32_bits_are_kept(store: Store) -> None:
    run = await claimed(store)
    usage = Usage(1, LARGE, LARGE, 0.1)
    total = AccessTotal("a.example", 443, AccessVerdict.ALLOWED, "", 1, LARGE, LARGE, START, START)

    for _ in range(2):
        await store.steps.note(run, TaskChanges(usage=usage))
        await store.egress.add({run.task_id: [total]})

    task = await store.tasks.get(run.task_id)
    assert task is not None
    assert (task.usage.input_tokens, task.usage.cost_usd) == (2 * LARGE, 0.2)
    assert [row.sent for row in await store.egress.of_task(run.task_id)] == [2 * LARGE]


async def test_a_server_that_was_restarted_is_used_on(own_postgres: Postgres) -> None:
    store = await Store.open(own_postgres.url(), now=Clock())
    new = await submitted(store)
    await asyncio.gather(*(store.tasks.get(new.id) for _ in range(5)))

    await asyncio.to_thread(stop, own_postgres)
    for ask in (
        store.check_writable(),
        store.tasks.get(new.id),
        queue_of(store).submit(new_task()),
    ):
        with pytest.raises(StoreUnavailable) as refused:
            await ask
        assert refused.value.retry_after is not None
    again = await asyncio.to_thread(start, own_postgres.folder, own_postgres.port)

    assert await store.tasks.is_known(new.id)
    await asyncio.gather(*(submitted(store) for _ in range(10)))
    await store.close()
    await asyncio.to_thread(stop, again)


async def test_a_server_that_stands_still_holds_nobody_for_longer_than_the_deadline(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(own_postgres.url(), now=Clock())
    new = await submitted(store)
    monkeypatch.setattr(connections, "DEADLINE_SECONDS", 0.5)
    with standing_still(own_postgres):
        asked = asyncio.gather(
            store.check_writable(),
            store.tasks.get(new.id),
            queue_of(store).submit(new_task()),
            store.runs.claim(QueueName.TASKS, START),
            return_exceptions=True,
        )
        refused = await asyncio.wait_for(asked, 20)  # psycopg itself waits ten seconds more

    assert [type(each) for each in refused] == [StoreUnavailable] * 4
    monkeypatch.undo()
    await submitted(store)
    assert await store.tasks.is_known(new.id)
    await store.close()


async def test_who_stands_still_in_a_transaction_keeps_its_rows_for_ten_seconds(
    store: Store, postgres_url: str
) -> None:
    name = "idle_in_transaction_session_timeout"
    shown = await store._writer.write(lambda c: c.execute(text(f"SHOW {name}")).scalar())
    assert shown == "10s"

    held_up = await Store.open(f"{postgres_url}&options=-c%20{name}%3D200ms", now=Clock())
    run = await claimed(held_up)
    tried = 0

    def stand_still(connection: Connection) -> None:
        nonlocal tried
        tried += 1
        require_run(connection, run)
        if tried == 1:
            await_only(asyncio.sleep(1))
        require_run(connection, run)

    standing = asyncio.ensure_future(held_up._writer.write(stand_still))
    await asyncio.sleep(A_MOMENT)
    async with asyncio.timeout(0.5):
        await store.runs.interrupt(run)
    with pytest.raises(RunLost):
        await standing
    await held_up.close()


async def test_two_nodes_give_no_number_of_a_local_repository_twice(
    store: Store, other: Store
) -> None:
    def record(number: int) -> PullRequestRecord:
        return PullRequestRecord(
            TaskId(f"task-{number}"),
            "/srv/shop",
            PullRequest(0, "/pull", "open", draft=False),
            head=f"branch-{number}",
            base="main",
            title="Mend the shop",
            body="It is whole now.",
            opened_at=START,
        )

    opened = await asyncio.gather(
        *((store, other)[number % 2].pull_requests.open(record(number)) for number in range(12))
    )

    assert sorted(each.pull_request.number for each in opened) == list(range(1, 13))


async def test_a_pooler_that_takes_no_bounds_is_served_without(
    postgres: Postgres, postgres_url: str
) -> None:
    socket = postgres.folder / f".s.PGSQL.{postgres.port}"
    name = postgres_url.partition("@/")[2].partition("?")[0]
    async with statement_pooler(socket, refused=b"-c statement_timeout") as port:
        store = await Store.open(f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable")
        await submitted(store)
        await store.close()


async def test_a_run_waits_for_a_server_that_was_restarted(own_postgres: Postgres) -> None:
    store = await Store.open(own_postgres.url(), now=Clock())
    run = await claimed(store)
    await asyncio.to_thread(stop, own_postgres)
    with patient():
        asked = asyncio.gather(
            store.steps.note(run, TaskChanges(branch_pushed=True)),
            store.events.append(run.task_id, run.id, EventType.AGENT_SAID, {"text": "still here"}),
            store.tasks.get(run.task_id),
        )
    await asyncio.wait([asked], timeout=A_MOMENT)
    assert not asked.done()
    again = await asyncio.to_thread(start, own_postgres.folder, own_postgres.port)

    async with asyncio.timeout(10):
        await asked

    assert [text for _, text in await said_after(store, run, 0)] == ["still here"]
    await asyncio.to_thread(stop, again)
    with patient():
        waiting = asyncio.ensure_future(store.steps.note(run, TaskChanges(branch_pushed=True)))
    await asyncio.wait([waiting], timeout=A_MOMENT)
    async with asyncio.timeout(5):
        await store.close()
    with pytest.raises(StoreUnavailable):
        await waiting


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_made_twice(
    postgres: Postgres, postgres_url: str, *, is_heard: bool
) -> None:
    socket = postgres.folder / f".s.PGSQL.{postgres.port}"
    name = postgres_url.partition("@/")[2].partition("?")[0]
    async with cutting_line(socket, is_heard=is_heard) as (line, port):
        store = await Store.open(f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable")
        run = await claimed(store)
        usage = Usage(turns=1, input_tokens=10, output_tokens=5, cost_usd=0.5)
        with patient():
            line.arm()
            await store.steps.note(run, TaskChanges(usage=usage))
            line.arm()
            said = EventType.AGENT_SAID, {"text": "once"}
            await store.events.append(run.task_id, run.id, *said)
        task = await store.tasks.get(run.task_id)
        told = await said_after(store, run, 0)
        await store.close()

    assert task is not None
    assert task.usage == usage
    assert [text for _, text in told] == ["once"]


async def test_connections_that_the_server_has_cut_are_not_used_again(
    store: Store, postgres: Postgres
) -> None:
    new = await submitted(store)
    await asyncio.gather(*(store.tasks.get(new.id) for _ in range(5)))
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'codebot'"
    )

    postgres.run(cut)
    await submitted(store)
    postgres.run(cut)
    assert await store.tasks.is_known(new.id)


async def test_a_store_of_sqlite_loads_nothing_of_postgres(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from codebot.app import parts, serve
from codebot.store.store import Store
asyncio.run(Store.open(Path({str(tmp_path / "db")!r})))
print(sorted(m for m in sys.modules if m.startswith(
    ("psycopg", "procrastinate", "sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql"))))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()

    assert said.decode().strip() == "[]"
