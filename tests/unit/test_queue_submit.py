from dataclasses import replace
from datetime import timedelta

import pytest

from codebot.domain.request_key import RequestKey
from codebot.domain.task import NewTask, TaskId, TaskRequest
from codebot.errors import Conflict, QueueFull
from codebot.queue.submit import submit_task
from codebot.store.store import new_uuid7
from fakes.clock import START, Clock
from fakes.tasks import REPOSITORY
from fakes.tokens import PROOF

REQUEST = TaskRequest(REPOSITORY, "Add dark mode", ticket_id="FEAT-1", ticket_summary="dark")


class Submitted:
    """As much of a queue as a submit needs; refuses the first `clashes` branches, or everything."""

    def __init__(self, *, clashes: int = 0, full: bool = False) -> None:
        self.tasks: list[NewTask] = []
        self._clashes = clashes
        self._full = full

    async def submit(self, new: NewTask, key: RequestKey | None = None) -> TaskId:
        if self._full:
            raise QueueFull("Full.", retry_after=timedelta(seconds=1))
        if self._clashes:
            self._clashes -= 1
            raise Conflict("The branch is taken.")
        self.tasks.append(new)
        return new.id


async def submit(queue: Submitted, request: TaskRequest = REQUEST) -> NewTask:
    submitted = await submit_task(
        queue, request, key_fingerprint="0123456789abcdef", now=Clock(), new_id=new_uuid7
    )
    return submitted.task


async def test_a_request_becomes_a_task_with_an_id_a_branch_and_its_sender() -> None:
    queue = Submitted()

    new = await submit(queue)

    assert queue.tasks == [new]
    assert new.branch_name == f"u/codebot/FEAT-1/{new.id[-7:]}/dark"
    assert (new.request, new.submitted_at) == (REQUEST, START)
    assert new.key_fingerprint == "0123456789abcdef"


async def test_a_token_that_somebody_pasted_is_no_part_of_a_branch() -> None:
    token = PROOF["ghp"]
    pasted = replace(REQUEST, description=f"Use {token} here", ticket_summary=None)
    summed_up = replace(REQUEST, ticket_summary=f"use {token} here")
    named = replace(REQUEST, ticket_id=token)

    branches = [(await submit(Submitted(), request)).branch_name for request in (pasted, summed_up)]
    assert [name.rpartition("/")[2] for name in branches] == ["use-here", "use-here"]
    new = await submit(Submitted(), named)
    assert new.branch_name == f"u/codebot/{new.id[-7:]}/dark"


async def test_a_taken_branch_is_drawn_again_with_another_id() -> None:
    queue = Submitted(clashes=4)

    assert (await submit(queue)) in queue.tasks


async def test_a_queue_that_never_finds_a_branch_is_not_asked_forever() -> None:
    with pytest.raises(Conflict):
        await submit(Submitted(clashes=1000))


async def test_a_full_queue_is_not_asked_again() -> None:
    with pytest.raises(QueueFull):
        await submit(Submitted(full=True))
