"""Cancelling and retrying over HTTP: whose task it is, what is answered, how it looks then."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from codebot.domain.run import QueueName
from codebot.domain.secret import Secret
from codebot.domain.status import TaskStatus
from codebot.intake.keys import ApiKeys
from codebot.intake.request_keys import HEADER, REPLAYED
from fakes.api import KEY, OTHER_KEY, TASK, Api, open_api, with_service
from fakes.stored import counts
from fakes.tasks import COMPLETED

OTHERS = {"X-API-Key": OTHER_KEY.encode(), "Authorization": b""}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as api:
        yield api


async def submit(api: Api) -> str:
    task_id: str = (await api.client.post("/api/tasks/submit", json=TASK)).json()["task_id"]
    return task_id


async def cancel(api: Api, task_id: str, **more: object) -> httpx.Response:
    return await api.client.post(f"/api/v1/tasks/{task_id}/cancel", **more)  # type: ignore[arg-type]


async def test_a_task_that_waits_is_cancelled_when_the_answer_comes(api: Api) -> None:
    task_id = await submit(api)

    answer = await cancel(api, task_id)

    assert answer.status_code == 202
    assert answer.json() == {
        "task_id": task_id,
        "status": "cancelled",
        "message": "Task cancelled",
    }
    frozen = (await api.client.get(f"/api/tasks/{task_id}/status")).json()
    fingerprint = ApiKeys([Secret(KEY)]).fingerprint(KEY.encode())
    assert frozen["status"] == "failed"
    assert frozen["error"] == f"The task was cancelled by the API key {fingerprint}."
    assert "result" not in frozen
    whole = (await api.client.get(f"/api/v1/tasks/{task_id}")).json()
    assert (whole["status"], whole["outcome"]) == ("cancelled", "cancelled")
    listed = (await api.client.get("/api/tasks", params={"status": "failed"})).json()
    assert [task["task_id"] for task in listed["tasks"]] == [task_id]


async def test_a_task_that_is_worked_on_is_being_cancelled(api: Api) -> None:
    task_id = await submit(api)
    await api.service.queue.claim(QueueName.TASKS)

    answer = await cancel(api, task_id)

    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.json()["message"] == "Task is being cancelled"
    whole = (await api.client.get(f"/api/v1/tasks/{task_id}")).json()
    assert (whole["status"], whole["phase"]) == ("running", "cancelling")


async def test_what_has_ended_is_no_longer_cancelled_and_says_why(api: Api) -> None:
    task_id = await submit(api)
    await api.service.queue.finish(await api.service.queue.claim(QueueName.TASKS), COMPLETED)

    answer = await cancel(api, task_id)

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "it is completed" in answer.json()["detail"]


@pytest.mark.parametrize("task_id", ["unknown", "0193a5d2-7b5e-7c3a-9f10-52d0babc1234", "%00"])
async def test_an_unknown_task_is_not_found(api: Api, task_id: str) -> None:
    assert (await cancel(api, task_id)).status_code == 404


async def test_another_callers_task_is_not_found(api: Api) -> None:
    task_id = await submit(api)

    answer = await cancel(api, task_id, headers=OTHERS)

    assert answer.status_code == 404
    assert "submitted with this API key" in answer.json()["detail"]
    assert await counts(api.store) == {TaskStatus.PENDING: 1}


async def test_a_task_whose_key_is_no_longer_in_use_is_everybodys(api: Api) -> None:
    task_id = await submit(api)
    with_service(api, keys=ApiKeys([Secret(OTHER_KEY)]))
    assert (await cancel(api, task_id, headers=OTHERS)).status_code == 202


async def test_a_cancel_without_a_key_is_nobodys(api: Api) -> None:
    task_id = await submit(api)
    async with api.anonymous() as anyone:
        assert (await anyone.post(f"/api/v1/tasks/{task_id}/cancel")).status_code == 401


@pytest.mark.parametrize("body", [b"", b" ", b"{}"])
async def test_a_cancel_takes_no_words(api: Api, body: bytes) -> None:
    assert (await cancel(api, await submit(api), content=body)).status_code == 202


async def test_words_that_would_be_passed_over_are_refused(api: Api) -> None:
    answer = await cancel(api, await submit(api), json={"reason": "dear"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "body")


async def test_a_cancel_that_is_sent_again_is_answered_as_before(api: Api) -> None:
    task_id, other = await submit(api), await submit(api)
    first = await cancel(api, task_id, headers={HEADER: "once"})
    again = await cancel(api, task_id, headers={HEADER: "once"})
    elsewhere = await cancel(api, other, headers={HEADER: "once"})

    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers[REPLAYED] == "true"
    assert elsewhere.status_code == 422


async def test_only_post_cancels(api: Api) -> None:
    answer = await api.client.get(f"/api/v1/tasks/{await submit(api)}/cancel")
    assert answer.status_code == 405


# --- Retrying ----------------------------------------------------------------------------------


async def retry(api: Api, task_id: str, **more: object) -> httpx.Response:
    return await api.client.post(f"/api/v1/tasks/{task_id}/retry", **more)  # type: ignore[arg-type]


async def test_a_task_that_was_cancelled_is_retried_as_the_same_task(api: Api) -> None:
    task_id = await submit(api)
    await cancel(api, task_id)

    answer = await retry(api, task_id)

    assert (answer.status_code, answer.json()) == (
        202,
        {"task_id": task_id, "status": "pending", "message": "Task queued again"},
    )
    frozen = (await api.client.get(f"/api/tasks/{task_id}/status")).json()
    assert (frozen["status"], frozen["completed_at"]) == ("pending", None)
    assert "error" not in frozen


async def test_what_has_not_failed_is_not_retried_and_says_why(api: Api) -> None:
    task_id = await submit(api)
    waiting = await retry(api, task_id)
    await api.service.queue.finish(await api.service.queue.claim(QueueName.TASKS), COMPLETED)
    completed = await retry(api, task_id)

    assert (waiting.status_code, completed.status_code) == (409, 409)
    assert "is pending" in waiting.json()["detail"]
    assert "is completed" in completed.json()["detail"]


async def test_another_callers_task_is_not_retried(api: Api) -> None:
    task_id = await submit(api)
    await cancel(api, task_id)
    assert (await retry(api, task_id, headers=OTHERS)).status_code == 404
    assert (await retry(api, "unknown")).status_code == 404


async def test_a_retry_in_a_full_queue_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with open_api(tmp_path, max_pending=1) as api:
        task_id = await submit(api)
        await cancel(api, task_id)
        await submit(api)

        answer = await retry(api, task_id)

        assert answer.status_code == 429
        assert answer.headers["Retry-After"]


async def test_a_retry_that_is_sent_again_is_answered_as_before(api: Api) -> None:
    task_id = await submit(api)
    await cancel(api, task_id, headers={HEADER: "once"})
    answers = [await retry(api, task_id, headers={HEADER: "twice"}) for _ in range(2)]
    other = await retry(api, task_id, headers={HEADER: "once"})

    assert [answer.status_code for answer in answers] == [202, 202]
    assert REPLAYED in answers[1].headers
    assert other.status_code == 422, "a key of a cancel is none of a retry"
