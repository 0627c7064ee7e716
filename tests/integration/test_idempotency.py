"""`Idempotency-Key` over HTTP: a request that is sent again makes no second task."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from codebot.domain.run import QueueName
from codebot.intake.request_keys import HEADER, LONGEST_KEY, REPLAYED
from fakes.api import OTHER_KEY, TASK, Api, open_api

SURFACES = ["/api/tasks/submit", "/api/v1/tasks"]
NAMED = {HEADER: "7f0c6c1e-one"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as api:
        yield api


@pytest.mark.parametrize("path", SURFACES)
async def test_a_submit_that_is_sent_again_is_answered_as_before_and_says_so(
    api: Api, path: str
) -> None:
    first = await api.client.post(path, json=TASK, headers=NAMED)
    again = await api.client.post(path, json=TASK, headers=NAMED)

    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert api.stored() == 1


async def test_without_a_key_the_same_words_are_two_tasks(api: Api) -> None:
    ids = {(await api.client.post(SURFACES[0], json=TASK)).json()["task_id"] for _ in range(2)}
    assert len(ids) == 2


async def test_both_surfaces_know_a_key(api: Api) -> None:
    answers = [await api.client.post(path, json=TASK, headers=NAMED) for path in SURFACES]
    assert answers[0].json() == answers[1].json()
    assert api.stored() == 1


@pytest.mark.parametrize("path", SURFACES)
async def test_a_key_is_bound_to_its_body(api: Api, path: str) -> None:
    await api.client.post(path, json=TASK, headers=NAMED)
    other = await api.client.post(path, json=TASK | {"ticket_id": "FEAT-1"}, headers=NAMED)

    assert other.status_code == 422
    problem = other.json()
    assert problem["code"] == "key_reused"
    assert "sent before, with another request" in problem["detail"]
    assert "a key of its own" in problem["detail"]
    assert api.stored() == 1


async def test_a_key_is_its_callers_own(api: Api) -> None:
    mine = await api.client.post(SURFACES[0], json=TASK, headers=NAMED)
    theirs = await api.client.post(
        SURFACES[0],
        json=TASK | {"description": "Another task"},
        headers={**NAMED, "X-API-Key": OTHER_KEY.encode(), "Authorization": b""},
    )

    assert theirs.status_code == 202
    assert theirs.json()["task_id"] != mine.json()["task_id"]


async def test_fifty_submits_at_once_with_one_key_are_one_task(tmp_path: Path) -> None:
    async with open_api(tmp_path, max_pending=2) as api:
        answers = await asyncio.gather(
            *(api.client.post(SURFACES[0], json=TASK, headers=NAMED) for _ in range(50))
        )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["task_id"] for answer in answers}) == 1
        assert sum(REPLAYED in answer.headers for answer in answers) == 49
        assert api.stored() == await api.service.queue.size(QueueName.TASKS) == 1


async def test_a_full_queue_still_repeats_what_it_said(tmp_path: Path) -> None:
    async with open_api(tmp_path, max_pending=1) as api:
        first = await api.client.post(SURFACES[0], json=TASK, headers=NAMED)
        full = await api.client.post(SURFACES[0], json=TASK)
        again = await api.client.post(SURFACES[0], json=TASK, headers=NAMED)

        assert full.status_code == 429
        assert (again.status_code, again.json()) == (202, first.json())


async def test_a_request_that_was_refused_binds_no_key(api: Api) -> None:
    refused = await api.client.post(SURFACES[0], json={}, headers=NAMED)
    taken = await api.client.post(SURFACES[0], json=TASK, headers=NAMED)
    assert (refused.status_code, taken.status_code) == (400, 202)


@pytest.mark.parametrize(
    "value",
    [b"", b"   ", b"x" * (LONGEST_KEY + 1), b"a\tb", b"a\x00b", b"a\x7f", "schlüssel".encode()],
    ids=["empty", "blank", "too long", "tab", "NUL", "DEL", "not ASCII"],
)
async def test_a_key_that_is_none_is_refused(api: Api, value: bytes) -> None:
    answer = await api.client.post(SURFACES[0], json=TASK, headers=[(HEADER, value)])

    assert answer.status_code == 400
    [problem] = answer.json()["errors"]
    assert problem["field"] == HEADER
    assert f"1 to {LONGEST_KEY} printable" in problem["message"]
    assert api.stored() == 0


async def test_two_keys_in_one_request_are_refused(api: Api) -> None:
    headers = [(HEADER, "one"), (HEADER, "two")]
    answer = await api.client.post(SURFACES[0], json=TASK, headers=headers)
    assert answer.status_code == 400
    assert "more than once" in json.dumps(answer.json())


async def test_the_longest_key_will_do(api: Api) -> None:
    answer = await api.client.post(SURFACES[0], json=TASK, headers={HEADER: "~" * LONGEST_KEY})
    assert answer.status_code == 202


async def test_a_key_that_is_wrong_is_told_after_what_the_gate_tells(api: Api) -> None:
    async with api.anonymous() as anyone:
        answer: httpx.Response = await anyone.post(SURFACES[0], json=TASK, headers={HEADER: ""})
    assert answer.status_code == 401
