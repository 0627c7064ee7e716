"""The pages: behind a key, without anything from elsewhere, and safe to read whatever they show."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from codebot.domain.outcome import PullRequest
from codebot.domain.run import QueueName
from codebot.domain.task import TaskId
from codebot.store.pull_requests import PullRequestRecord
from codebot.web import pages
from codebot.web.rendering import diff_lines, markdown
from fakes.api import KEY, TASK, Api, open_api

BASIC = {"Authorization": "Basic " + base64.b64encode(f"anyone:{KEY}".encode()).decode()}
EVIL = "<script>alert(1)</script>"
DIFF = (
    f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{EVIL}\n+<img src=x onerror=alert(1)>\n"
)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as api:
        yield api


async def open_pull_request(api: Api, **changes: str) -> str:
    """Submit a task, give it a diff and a pull request; gives the page's address."""
    answer = await api.client.post("/api/tasks/submit", json=TASK)
    task_id = TaskId(answer.json()["task_id"])
    await api.store.diffs.put(await api.service.queue.claim(QueueName.TASKS), DIFF)
    record = PullRequestRecord(
        task_id=task_id,
        repository_url="/srv/my repo",
        pull_request=PullRequest(7, "", "open", draft=True),
        head="u/codebot/abc1234/dark-mode",
        base="main",
        title="Dark mode",
        body="## Task\n\nAll of it.",
        opened_at=datetime(2025, 11, 3, 12, tzinfo=UTC),
    )
    await api.store.pull_requests.add(replace(record, **changes))
    return f"/tasks/{task_id}/pull-request"


async def test_a_pull_request_has_a_page(api: Api) -> None:
    page = (await api.client.get(await open_pull_request(api))).text
    for shown in ("Dark mode", "#7", "open", "draft", "main", "<h2>Task</h2>"):
        assert shown in page
    assert "git -C &#39;/srv/my repo&#39; merge u/codebot/abc1234/dark-mode" in page
    assert '<span class="hunk">@@ -1 +1 @@</span>' in page


async def test_a_browser_is_asked_for_the_key_and_may_send_it_as_a_password(api: Api) -> None:
    url = await open_pull_request(api)
    async with api.anonymous() as browser:
        asked = await browser.get(url)
        assert asked.status_code == 401
        assert asked.headers["WWW-Authenticate"].startswith("Basic ")
        assert (await browser.get(url, headers=BASIC)).status_code == 200
        for bad in ("Basic !!", "Basic " + base64.b64encode(KEY.encode()).decode(), "Basic"):
            assert (await browser.get(url, headers={"Authorization": bad})).status_code == 401


async def test_what_strangers_wrote_is_shown_and_never_obeyed(api: Api) -> None:
    body = f"{EVIL}\n\n[x](javascript:alert(1)) <!-- hidden --> ![i](https://evil.com/i.png)"
    url = await open_pull_request(api, title=EVIL, head=f"a{EVIL}", base=EVIL, body=body)
    answer = await api.client.get(url)
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert 'href="javascript' not in answer.text
    assert "hidden" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_page_outlives_the_task(api: Api) -> None:
    url = await open_pull_request(api)
    await api.store.tasks.delete(TaskId(url.split("/")[2]))
    answer = await api.client.get(url)
    assert answer.status_code == 200
    assert "Dark mode" in answer.text
    assert "not kept any more" in answer.text


async def test_without_a_pull_request_there_is_no_page(api: Api) -> None:
    answer = await api.client.get("/tasks/nope/pull-request")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_diff_of_any_size_makes_a_page_of_bounded_size(api: Api) -> None:
    url = await open_pull_request(api)
    record = await api.store.pull_requests.get(TaskId(url.split("/")[2]))
    assert record is not None
    page = pages.pull_request_page(record, "+" + "x" * 2_000_000)
    assert len(page) < 600_000
    assert f"/api/v1/tasks/{record.task_id}/diff" in page


async def test_the_document_page_loads_nothing_from_elsewhere(api: Api) -> None:
    async with api.anonymous() as browser:
        page = await browser.get("/docs")
        assert page.status_code == 200
        assert "://" not in page.text
        assert "script-src 'self';" in page.headers["Content-Security-Policy"]
        files = ["docs.js", "swagger-ui/swagger-ui.css", "swagger-ui/swagger-ui-bundle.js"]
        for name in files:
            assert f"/static/{name}" in page.text
            assert (await browser.get(f"/static/{name}")).status_code == 200
        assert (await browser.get("/static/../pages.py")).status_code == 404
        assert (await browser.get("/static/%2e%2e/pages.py")).status_code == 404


def test_the_collapsed_output_of_our_own_pull_requests_stays_collapsible() -> None:
    html = markdown(
        "<details><summary>Output & <b></summary>\n\n```\n</details>\n```\n\n</details>"
    )
    assert "<details>" not in html
    html = markdown("<details><summary>Output</summary>\n\n```\n</details>\n```\n\n</details>")
    assert html.startswith("<details><summary>Output</summary>")
    assert html.rstrip().endswith("</details>")
    assert "&lt;/details&gt;" in html


def test_links_lead_to_the_web_and_tell_nobody_where_from() -> None:
    html = markdown("[a](https://example.com) [b](data:text/html,x) [c](vbscript:x)")
    assert html.count("<a ") == 1
    assert 'rel="noopener noreferrer nofollow"' in html


def test_a_removed_line_that_looks_like_a_header_is_still_removed() -> None:
    kinds = [line.kind for line in diff_lines("--- a\n+++ b\n@@ -1 +1 @@\n--- x\n+++ y\n z")]
    assert kinds == ["meta", "meta", "hunk", "removed", "added", "context"]
