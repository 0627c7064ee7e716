"""The frozen surface, as a caller sees it: every promise and every refusal."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from codebot.domain.egress import AccessVerdict
from codebot.domain.outcome import Failure, PullRequest
from codebot.domain.run import QueueName, RunResult
from codebot.domain.status import Outcome, TaskStatus
from codebot.domain.task import TaskId
from codebot.errors import StoreUnavailable
from codebot.intake import frozen
from codebot.intake.bodies import task_state, time_text
from codebot.store.egress import AccessTotal
from codebot.store.steps import TaskChanges
from fakes.api import KEY, OTHER_KEY, TASK, Api, open_api, with_service
from fakes.clock import START
from fakes.tokens import PROOF

SUBMIT = "/api/tasks/submit"
V1 = "/api/v1/tasks"
both_doors = pytest.mark.parametrize("door", [SUBMIT, V1])
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as api:
        yield api


async def submit(api: Api, **changes: object) -> TaskId:
    answer = await api.client.post(SUBMIT, json={**TASK, **changes})
    assert answer.status_code == 202, answer.text
    return TaskId(answer.json()["task_id"])


# --- What is promised ------------------------------------------------------------------------


async def test_a_submitted_task_is_stored_and_can_be_followed(api: Api) -> None:
    answer = await api.client.post(SUBMIT, json={**TASK, "ticket_id": "FEAT-123"})
    assert answer.status_code == 202
    task_id = answer.json().pop("task_id")
    assert answer.json() == {
        "task_id": task_id,
        "status": "pending",
        "message": "Task queued successfully",
    }
    status = await api.client.get(answer.headers["Location"])
    assert status.json() == {
        "task_id": task_id,
        "status": "pending",
        "submitted_at": "2025-11-03T12:00:00Z",
        "started_at": None,
        "completed_at": None,
    }
    task = await api.store.tasks.get(task_id)
    assert task is not None
    assert task.key_fingerprint == api.service.keys.fingerprint(KEY.encode())
    assert task.branch_name.startswith("u/codebot/FEAT-123/")


async def test_a_completed_task_shows_its_pull_request(api: Api) -> None:
    task_id = await submit(api)
    run = await api.service.queue.claim(QueueName.TASKS)
    pull_request = PullRequest(123, "https://github.com/user/repo/pull/123", "open", draft=False)
    changes = TaskChanges(
        pull_request=pull_request, branch_pushed=True, work_dir="/path", verified=True
    )
    await api.store.steps.finish(run, "publish", 0, "{}", changes)
    await api.service.queue.finish(run, RunResult(TaskStatus.COMPLETED, Outcome.PULL_REQUEST))
    body = (await api.client.get(f"/api/tasks/{task_id}/status")).json()
    task = await api.store.tasks.get(task_id)
    assert task is not None
    assert body["status"] == "completed"
    assert body["result"] == {
        "pr_url": pull_request.url,
        "branch_name": task.branch_name,
        "work_dir": "/path",
        "verified": True,
    }
    assert "error" not in body
    whole = (await api.client.get(f"/api/v1/tasks/{task_id}")).json()
    assert whole["outcome"] == "pull_request"
    assert whole["pull_request"]["number"] == 123


async def test_a_failed_task_says_what_failed_and_what_to_do(api: Api) -> None:
    task_id = await submit(api)
    run = await api.service.queue.claim(QueueName.TASKS)
    failure = Failure("clone_failed", "The clone failed.", "Install the App.", retryable=False)
    result = RunResult(TaskStatus.FAILED, Outcome.ERROR, failure)
    await api.service.queue.finish(run, result)
    body = (await api.client.get(f"/api/tasks/{task_id}/status")).json()
    assert body["status"] == "failed"
    assert body["error"] == "The clone failed. Install the App."
    assert "result" not in body


async def test_what_a_failed_task_produced_is_shown_with_its_error(api: Api) -> None:
    task = await api.store.tasks.get(await submit(api))
    assert task is not None
    failed = replace(task, status=TaskStatus.FAILED, branch_pushed=True)
    assert task_state(failed)["result"]["branch_name"] == task.branch_name


async def test_a_cancelled_task_shows_as_failed_and_says_so(api: Api) -> None:
    task = await api.store.tasks.get(await submit(api))
    assert task is not None
    body = task_state(replace(task, status=TaskStatus.CANCELLED))
    assert (body["status"], body["error"]) == ("failed", "The task was cancelled.")


async def test_the_list_is_newest_first_and_cuts_long_descriptions(api: Api) -> None:
    first = await submit(api, description="x" * 1000)
    second = await submit(api, description="é" * 1001)
    body = (await api.client.get("/api/tasks")).json()
    assert body["count"] == 2
    newest, oldest = body["tasks"]
    assert (newest["task_id"], oldest["task_id"]) == (second, first)
    assert (newest["description"], newest["description_truncated"]) == ("é" * 1000, True)
    assert oldest["description"] == "x" * 1000
    assert "description_truncated" not in oldest
    assert newest["repository_url"] == TASK["repository_url"]
    only = (await api.client.get("/api/tasks?limit=1&status=pending")).json()
    assert [task["task_id"] for task in only["tasks"]] == [second]
    assert (await api.client.get("/api/tasks?status=completed")).json() == {"tasks": [], "count": 0}


async def test_texts_of_any_language_and_size_come_back_as_they_went_in(api: Api) -> None:
    description = "日本語 🚀 עברית\n'; DROP TABLE tasks; --" + "x" * 200_000
    task_id = await submit(api, description=description)
    whole = (await api.client.get(f"/api/v1/tasks/{task_id}")).json()
    assert whole["description"] == description


async def test_the_richer_door_takes_a_setup_command_too(api: Api) -> None:
    answer = await api.client.post(V1, json={**TASK, "setup_command": "make deps"})
    accepted = answer.json()
    assert answer.status_code == 202
    assert accepted == {
        "task_id": accepted["task_id"],
        "status": "pending",
        "message": "Task queued successfully",
    }
    assert answer.headers["Location"] == f"/api/v1/tasks/{accepted['task_id']}"
    whole = (await api.client.get(answer.headers["Location"])).json()
    assert whole["setup_command"] == "make deps"
    assert whole["test_command"] is None


async def test_a_bad_setup_command_is_refused_like_a_bad_test_command(api: Api) -> None:
    for bad in ("a\0b", "x" * 100_001, 1, ["make"]):
        answer = await api.client.post(V1, json={**TASK, "setup_command": bad})
        assert answer.status_code == 400
        assert [problem["field"] for problem in answer.json()["errors"]] == ["setup_command"]
    blank = await api.client.post(V1, json={**TASK, "setup_command": " "})
    assert blank.status_code == 202


async def test_the_frozen_door_keeps_its_six_fields(api: Api) -> None:
    answer = await api.client.post(SUBMIT, json={**TASK, "setup_command": "make deps"})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {
            "field": "setup_command",
            "message": "is not known; the fields are repository_url, description, ticket_id, "
            "ticket_summary, test_command, base_branch",
        }
    ]
    assert api.stored() == 0


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with open_api(tmp_path, max_pending=1) as api:
        await submit(api)
        answer = await api.client.post(SUBMIT, json=TASK)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["code"] == "queue_full"
        assert api.stored() == 1


async def test_health_needs_no_key_and_tells_more_with_one(api: Api) -> None:
    await submit(api)
    async with api.anonymous() as anyone:
        answer = await anyone.get("/health")
    sizes = {"status": "healthy", "review_queue_size": 0, "task_queue_size": 1}
    assert (answer.status_code, answer.json()) == (200, sizes)
    told = (await api.client.get("/health")).json()
    assert told.items() >= {**sizes, "version": "1.2.3", "workers": 2}.items()
    assert told["checks"][0]["name"] == "git"


async def test_health_is_503_when_the_store_takes_no_writes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(api.store, "check_writable", refuse)
    answer = await api.client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")


async def test_a_store_that_answers_too_late_for_health_makes_no_noise(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = asyncio.Event()
    lost: list[object] = []

    async def refuse() -> None:
        await locked.wait()
        raise StoreUnavailable("The database is locked.")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    monkeypatch.setattr(frozen, "_HEALTH_SECONDS", 0.01)
    monkeypatch.setattr(api.store, "check_writable", refuse)
    assert (await api.client.get("/health")).status_code == 503
    locked.set()
    await asyncio.sleep(0.01)
    assert not lost


async def test_events_are_read_page_by_page(api: Api) -> None:
    task_id = await submit(api)
    url = f"/api/v1/tasks/{task_id}/events"
    first = (await api.client.get(url, params={"limit": "1"})).json()
    assert [event["type"] for event in first["items"]] == ["task.submitted"]
    assert first["next_after"] == first["items"][0]["seq"]
    rest = (await api.client.get(url, params={"after": first["next_after"]})).json()
    assert rest == {"items": [], "next_after": first["next_after"]}


async def test_log_and_diff_are_plain_text_and_empty_at_first(api: Api) -> None:
    task_id = await submit(api)
    run = await api.service.queue.claim(QueueName.TASKS)
    for name in ("log", "diff"):
        answer = await api.client.get(f"/api/v1/tasks/{task_id}/{name}")
        assert (answer.status_code, answer.text) == (200, "")
    await api.store.logs.append(run, "<script>é\n")
    await api.store.diffs.put(run, "+new\n")
    answer = await api.client.get(f"/api/v1/tasks/{task_id}/log")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text == "<script>é\n"
    assert (await api.client.get(f"/api/v1/tasks/{task_id}/diff")).text == "+new\n"


async def test_what_a_task_reached_and_was_refused_is_listed(api: Api) -> None:
    task_id = await submit(api)
    url = f"/api/v1/tasks/{task_id}/egress"
    assert (await api.client.get(url)).json() == {"items": []}
    refused = AccessTotal(
        "evil.example", 443, AccessVerdict.REFUSED, "not listed", 3, 0, 0, START, START
    )
    allowed = replace(refused, host="files.example", verdict=AccessVerdict.ALLOWED, reason="")
    await api.store.egress.add({task_id: [replace(allowed, sent=10, received=2000), refused]})
    first, second = (await api.client.get(url)).json()["items"]
    assert first == {
        "host": "evil.example",
        "port": 443,
        "verdict": "refused",
        "reason": "not listed",
        "count": 3,
        "sent": 0,
        "received": 0,
        "first_at": time_text(START),
        "last_at": time_text(START),
    }
    assert (second["verdict"], second["sent"], second["received"]) == ("allowed", 10, 2000)
    assert (await api.client.get("/api/v1/tasks/unknown/egress")).status_code == 404


async def test_head_is_answered_like_get_and_other_methods_name_what_is_allowed(api: Api) -> None:
    assert (await api.client.head("/api/tasks")).status_code == 200
    for method in ("POST", "OPTIONS", "DELETE"):
        answer = await api.client.request(method, "/api/tasks")
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET"
        assert answer.json()["code"] == "method_not_allowed"
    assert (await api.client.get(V1)).headers["Allow"] == "POST"


# --- Who may come in -------------------------------------------------------------------------


GOOD_KEYS: list[Any] = [
    {"Authorization": f"Bearer {KEY}"},
    {"Authorization": f"bEARER   {KEY} "},
    {"X-API-Key": KEY},
    {"Authorization": "Basic eDp5", "X-API-Key": KEY},
    {"Authorization": b"Bearer " + OTHER_KEY.encode()},
]


async def test_a_valid_key_opens(api: Api) -> None:
    async with api.anonymous() as anyone:
        for headers in GOOD_KEYS:
            assert (await anyone.get("/api/tasks", headers=headers)).status_code == 200, headers


NO_KEYS: list[Any] = [
    [],
    [("Authorization", "")],
    [("Authorization", "Bearer")],
    [("Authorization", "Bearer ")],
    [("Authorization", KEY)],
    [("Authorization", f"Basic {KEY}")],
    [("Authorization", "Basic eDpzZWNyZXQta2V5LTE=")],
    [("Authorization", f"Bearer {KEY}x")],
    [("Authorization", f"Bearer {KEY[:-1]}")],
    [("Authorization", f"Bearer {KEY},{KEY}")],
    [("Authorization", b"Bearer \xff\xfe")],
    [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    [("X-API-Key", "")],
    [("X-API-Key", KEY), ("X-API-Key", "x")],
    [("Authorization", "Bearer wrong"), ("X-API-Key", KEY)],
]


async def test_anything_else_stays_out(api: Api) -> None:
    async with api.anonymous() as anyone:
        for headers in NO_KEYS:
            answer = await anyone.get("/api/tasks", headers=headers)
            assert answer.status_code == 401, headers
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Codebot"'
            assert answer.json()["code"] == "unauthorized"


async def test_every_route_but_the_open_ones_is_behind_a_key(api: Api) -> None:
    open_to_all = {"/health", "/openapi.json", "/docs", "/static"}
    paths = {getattr(route, "path", "") for route in api.app.router.routes}
    paths |= {"/tasks/x/pull-request"}
    async with api.anonymous() as anyone:
        for path in paths - open_to_all - {""}:
            for method in ("GET", "POST", "HEAD", "OPTIONS"):
                assert (await anyone.request(method, path)).status_code == 401, (method, path)


# --- What is refused -------------------------------------------------------------------------

BAD_FIELDS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"repository_url", "description"}),
    ({"description": "x"}, {"repository_url"}),
    ({**TASK, "description": "   \n\t"}, {"description"}),
    ({**TASK, "repository_url": ""}, {"repository_url"}),
    ({**TASK, "description": None}, {"description"}),
    ({**TASK, "description": 1, "ticket_id": [], "base_branch": {}, "test_command": True},
     {"description", "ticket_id", "base_branch", "test_command"}),
    ({**TASK, "ticket_summary": False}, {"ticket_summary"}),
    ({**TASK, "descripton": "x"}, {"descripton"}),
    ({**TASK, "x" * 100_000: 1}, {"x" * 100}),
    ({**TASK, "description": "a\0b"}, {"description"}),
    ({**TASK, "description": "\ud800"}, {"description"}),
    ({**TASK, "test_command": "a\0b"}, {"test_command"}),
    ({**TASK, "test_command": "x" * 100_001}, {"test_command"}),
    ({**TASK, "ticket_id": " F-1"}, {"ticket_id"}),
    ({**TASK, "ticket_id": "../../etc"}, {"ticket_id"}),
    ({**TASK, "ticket_id": "\ud800"}, {"ticket_id"}),
    ({**TASK, "base_branch": "--upload-pack=x"}, {"base_branch"}),
    ({**TASK, "base_branch": "a..b"}, {"base_branch"}),
    ({**TASK, "base_branch": " main"}, {"base_branch"}),
    ({"repository_url": "file:///etc/passwd", "description": "", "what": 1},
     {"repository_url", "description", "what"}),
    ({**TASK, "repository_url": "https://user:pw@github.com/user/repo"}, {"repository_url"}),
    ({**TASK, "repository_url": "ext::sh -c id"}, {"repository_url"}),
]  # fmt: skip


@pytest.mark.parametrize("blank", [None, "", " \n"])
async def test_an_optional_field_that_is_null_or_blank_is_not_given(
    api: Api, blank: str | None
) -> None:
    optional = ("ticket_id", "ticket_summary", "test_command", "base_branch")
    answer = await api.client.post(SUBMIT, json={**TASK, **dict.fromkeys(optional, blank)})

    assert answer.status_code == 202, answer.text
    shown = (await api.client.get(f"/api/v1/tasks/{answer.json()['task_id']}")).json()
    assert {shown[name] for name in optional} == {None}


@both_doors
async def test_every_bad_field_is_named_at_once(api: Api, door: str) -> None:
    for fields, named in BAD_FIELDS:
        answer = await api.client.post(door, content=json.dumps(fields), headers=JSON)
        assert answer.status_code == 400, fields
        body = answer.json()
        assert {problem["field"] for problem in body["errors"]} == named
        assert body["code"] == "invalid_task"
    assert api.stored() == 0


BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"1" * 10_000,
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b'{"description": NaN}',
    b'{"description": Infinity}',
    b'{"description": "again", ' + json.dumps(TASK).encode()[1:],
    json.dumps(TASK).encode("utf-16"),
    b"\xef\xbb\xbf" + json.dumps(TASK).encode(),
    b'{"description": "\xff\xfe"}',
    b"\x00\x01\x02",
    json.dumps(TASK).encode() + b"x",
    b"{'description': 'x'}",
]


@both_doors
async def test_a_body_that_is_no_json_object_is_refused(api: Api, door: str) -> None:
    for content in BAD_BODIES:
        answer = await api.client.post(door, content=content, headers=JSON)
        assert answer.status_code == 400, content[:50]
        assert answer.json()["errors"]
    assert api.stored() == 0


@both_doors
async def test_a_body_not_declared_as_json_is_415(api: Api, door: str) -> None:
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        headers = {"Content-Type": kind} if kind else {}
        answer = await api.client.post(door, content=json.dumps(TASK).encode(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "not_json"), kind
    assert api.stored() == 0


async def test_a_charset_beside_the_type_is_fine(api: Api) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await api.client.post(SUBMIT, content=json.dumps(TASK).encode(), headers=headers)
    assert answer.status_code == 202


@both_doors
async def test_the_checks_come_in_their_order(api: Api, door: str) -> None:
    large = b"x" * (1024 * 1024 + 1)
    async with api.anonymous() as anyone:
        assert (await anyone.post(door, content=large)).status_code == 401
    assert (await api.client.post(door, content=large)).status_code == 413
    assert (await api.client.post(door, content=b"{")).status_code == 415
    assert (await api.client.post(door, content=b"{", headers=JSON)).status_code == 400
    assert api.stored() == 0


async def test_blank_optional_texts_count_as_not_given(api: Api) -> None:
    task = await api.store.tasks.get(await submit(api, test_command=" ", ticket_summary=""))
    assert task is not None
    assert (task.request.test_command, task.request.ticket_summary) == (None, None)


BAD_QUERIES = [
    "limit=0", "limit=1001", "limit=-1", "limit=+1", "limit=1.0", "limit=", "limit=%201",
    "limit=00001", "limit=1e2", "limit=%D9%A1", "limit=1&limit=2", "limit=%00",
    "status=", "status=done", "status=Completed", "status=cancelled", "status=pending&status=x",
    "page=2", "%FF=%FF", "a[]=1",
]  # fmt: skip


async def test_a_bad_query_is_refused(api: Api) -> None:
    for query in BAD_QUERIES:
        assert (await api.client.get(f"/api/tasks?{query}")).status_code == 400, query


async def test_what_looks_like_a_token_is_not_said_back(api: Api) -> None:
    token = PROOF["ghp"]
    fields = {**TASK, token: "x", "ticket_id": f"{token}?"}
    answer = await api.client.post(SUBMIT, content=json.dumps(fields), headers=JSON)
    assert answer.status_code == 400
    assert "***" in answer.text
    assert token not in answer.text


async def test_every_problem_of_a_query_is_named(api: Api) -> None:
    answer = await api.client.get("/api/tasks?limit=0&status=x&what=1")
    fields = {problem["field"] for problem in answer.json()["errors"]}
    assert fields == {"limit", "status", "what"}
    answer = await api.client.get(f"/api/v1/tasks/{await submit(api)}/events?after=-1&limit=x")
    assert {problem["field"] for problem in answer.json()["errors"]} == {"after", "limit"}


async def test_an_unknown_task_is_404(api: Api) -> None:
    for task_id in ("x", "%00", "..", "%F0%9F", "' OR 1=1 --", "a" * 5000):
        for path in (f"/api/tasks/{task_id}/status", f"/api/v1/tasks/{task_id}/log"):
            answer = await api.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


async def test_an_unknown_address_is_404_and_a_last_slash_makes_one(api: Api) -> None:
    for path in ("/nope", "/api/nope", "/api/tasks/", "//api/tasks"):
        answer = await api.client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "/docs" in answer.json()["detail"]


# --- When something goes wrong ---------------------------------------------------------------


async def test_every_problem_has_the_same_body(api: Api) -> None:
    answer = await api.client.get("/api/tasks?limit=0", headers={"X-Request-ID": "mine"})
    body = answer.json()
    assert body["request_id"] == answer.headers["X-Request-ID"] != "mine"
    assert (body["type"], body["title"], body["status"]) == ("about:blank", "Bad Request", 400)
    assert (body["error"], body["message"]) == (body["title"], body["detail"])


async def test_a_bug_is_a_500_without_a_word_of_it_and_a_log_line_with_all(api: Api) -> None:
    def explode() -> str:
        raise RuntimeError("the secret is hunter2")

    with_service(api, new_id=explode)
    with capture_logs() as lines:
        answer = await api.client.post(SUBMIT, json=TASK)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text
    (failed,) = (line for line in lines if line["event"] == "http.failed")
    assert failed["exc_info"]
    assert failed["request_id"] == answer.json()["request_id"]


async def test_a_store_that_takes_no_writes_is_503(api: Api) -> None:
    class Broken:
        async def submit(self, new: object, key: object) -> None:
            raise StoreUnavailable("The disk is full.", hint="Free some space.")

    with_service(api, queue=Broken())
    with capture_logs() as lines:
        answer = await api.client.post(SUBMIT, json=TASK)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert "http.failed" in [line["event"] for line in lines]


async def test_the_log_line_of_a_request_holds_no_key_and_no_query(api: Api) -> None:
    with capture_logs() as lines:
        await api.client.get("/api/tasks?limit=1&token=hunter2")
    (line,) = lines
    assert (line["event"], line["status"], line["path"]) == ("http.answered", 400, "/api/tasks")
    assert KEY not in str(lines)
    assert "hunter2" not in str(lines)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*TASK, "ticket_id", "base_branch", "test_command"]) | st.text()
BODIES = (
    st.binary(max_size=64)
    | st.dictionaries(NAMES, VALUES, max_size=6).map(lambda value: json.dumps(value).encode())
    | st.dictionaries(NAMES, st.text(), max_size=6).map(
        lambda value: json.dumps({**TASK, **value}).encode()
    )
)
QUERIES = st.lists(
    st.tuples(st.sampled_from(["limit", "status", "after"]) | st.text(), st.text()), max_size=3
)


async def test_no_input_makes_a_500_or_spoils_the_list(tmp_path: Path) -> None:
    async with open_api(tmp_path, max_pending=10_000) as api:
        loop = asyncio.get_running_loop()

        async def try_one(body: bytes, query: list[tuple[str, str]]) -> None:
            answer = await api.client.post(SUBMIT, content=body, headers=JSON)
            assert answer.status_code in {202, 400}
            safe = [
                tuple(text.encode("utf-8", "replace").decode() for text in pair) for pair in query
            ]
            assert (await api.client.get("/api/tasks", params=safe)).status_code in {200, 400}

        @settings(max_examples=150, suppress_health_check=list(HealthCheck))
        @given(BODIES, QUERIES)
        def fuzz(body: bytes, query: list[tuple[str, str]]) -> None:
            asyncio.run_coroutine_threadsafe(try_one(body, query), loop).result(10)

        await asyncio.to_thread(fuzz)
        listed = (await api.client.get("/api/tasks?limit=1000")).json()
        assert listed["count"] == min(api.stored(), 1000)
