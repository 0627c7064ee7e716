"""Effects on the outside world: made once, looked for after any doubt, never without a permit."""

import ast
import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import codebot
from codebot.domain import ports
from codebot.domain.effect import Effect, EffectKind, Permit
from codebot.domain.event import EventType
from codebot.domain.run import QueueName, Run
from codebot.errors import ForgeBroken, RunLost
from codebot.forge.github.client import GitHubClient
from codebot.git.git import Git
from codebot.lfs.transfers import LargeFileTransfers
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.steps import Noted, TaskChanges
from codebot.store.store import Store, new_uuid7
from fakes.clock import Clock
from fakes.stored import running, stored

SOURCE = Path(codebot.__file__).parent
PUSH = Effect(EffectKind.BRANCH, "u/codebot/abc1234/x@1f0c")
TOLD = (EventType.BRANCH_PUSHED, {"branch_name": "x", "commit": "1f0c"})


@pytest.fixture
async def store(database: Path | str) -> AsyncIterator[Store]:
    store = await Store.open(database, now=Clock())
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=10, now=Clock(), new_id=new_uuid7)


@dataclass
class World:
    """What is outside: what was made there, and how often somebody looked."""

    made: list[str] = field(default_factory=list)
    looks: int = 0
    fault: Exception | None = None
    too_late: bool = False

    async def look(self) -> str | None:
        self.looks += 1
        return self.made[0] if self.made else None

    async def make(self, permit: Permit) -> str:
        assert permit.effect == PUSH
        if self.fault is None or self.too_late:
            self.made.append("1f0c")
        if self.fault is not None:
            raise self.fault
        return "1f0c"


async def do(store: Store, run: Run, world: World) -> str:
    return await store.effects.of(run).once(
        PUSH,
        str,
        look=world.look,
        make=world.make,
        note=lambda _: Noted(TaskChanges(branch_pushed=True), [TOLD]),
    )


async def again(queue: EmbeddedQueue, run: Run) -> Run:
    """Give the run as the next attempt has it, after the service died."""
    await queue.recover()
    return await queue.claim(QueueName.TASKS)


async def test_an_effect_is_made_once_and_then_on_record(
    store: Store, queue: EmbeddedQueue
) -> None:
    run, world = await running(queue), World()

    given = [await do(store, run, world) for _ in range(2)]

    assert given == ["1f0c", "1f0c"]
    assert (len(world.made), world.looks) == (1, 0)
    assert (await stored(store, run.task_id)).branch_pushed
    events = [event.type for event in await store.events.after(run.task_id, 0, 100)]
    assert events.count(EventType.BRANCH_PUSHED) == 1


@pytest.mark.parametrize("too_late", [True, False], ids=["it happened", "it did not"])
async def test_an_effect_in_doubt_is_looked_for_before_it_is_made_again(
    store: Store, queue: EmbeddedQueue, *, too_late: bool
) -> None:
    run, world = await running(queue), World(fault=ForgeBroken("Cut."), too_late=too_late)
    with pytest.raises(ForgeBroken):
        await do(store, run, world)
    assert not (await stored(store, run.task_id)).branch_pushed
    world.fault = None

    run = await again(queue, run)
    assert await do(store, run, world) == "1f0c"

    assert (len(world.made), world.looks) == (1, 1)
    assert (await stored(store, run.task_id)).branch_pushed


async def test_the_intent_is_on_disk_before_anything_is_sent(
    store: Store, queue: EmbeddedQueue
) -> None:
    run = await running(queue)

    async def make(_: Permit) -> str:
        assert await store.effects.find(run.task_id, PUSH) == (run.id, None)
        assert await store.effects.names(run.task_id, EffectKind.BRANCH) == [PUSH.name]
        return "1f0c"

    await store.effects.of(run).once(PUSH, str, look=World().look, make=make)
    assert await store.effects.find(run.task_id, PUSH) == (run.id, '"1f0c"')


async def test_who_lost_the_run_gets_no_permit(store: Store, queue: EmbeddedQueue) -> None:
    run, world = await running(queue), World()
    await again(queue, run)

    with pytest.raises(RunLost):
        await do(store, run, world)

    assert world.made == []


async def test_a_permit_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        Permit(PUSH, seal=object())


def test_only_the_record_of_effects_gives_permits() -> None:
    users = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        and "issue_permit" in ast.unparse(node)
    }
    assert users == {"store/effects.py"}


READS = {
    "check",
    "identity",
    "default_branch",
    "read_access",
    "source_access",
    "write_access",
    "forget_access",
    "find_pull_request",
    "branch_url",
}
"""What a forge is only asked. Whatever else it does is a change: it takes a permit."""


def test_whatever_changes_something_outside_takes_a_permit() -> None:
    methods = {name for name in vars(ports.Forge) if not name.startswith("_")} - {"name"}
    writes = [getattr(ports.Forge, name) for name in methods - READS]
    assert methods >= READS
    for write in (*writes, GitHubClient.post, Git.push, LargeFileTransfers.send):
        _, first, *_ = inspect.signature(write).parameters.values()
        assert first.annotation is Permit, write


def test_every_kind_of_effect_is_made_somewhere() -> None:
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    assert [kind for kind in EffectKind if f"EffectKind.{kind.name}," not in text] == []
