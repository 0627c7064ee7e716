"""The demo's side of the HTTP API: what any client would do."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from codebot.errors import CodebotError

LONGEST_TASK = 900
POLL_INTERVAL = 0.1


class DemoFailed(CodebotError):
    """The demo did not get to its end."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to the service; errors are `DemoFailed` and those of httpx."""

    http: httpx.Client

    def submit(self, task: Mapping[str, str]) -> str:
        """Hand in a task and give its id."""
        answer = self.http.post("/api/tasks/submit", json=task)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise DemoFailed(f"The task was not accepted: {answer.text}")
        task_id: str = answer.json()["task_id"]
        return task_id

    def status(self, task_id: str) -> dict[str, Any]:
        """Give the task's status as the API shows it."""
        return self._json(f"/api/tasks/{task_id}/status")

    def usage(self, task_id: str) -> dict[str, Any]:
        """Give what the task cost."""
        usage: dict[str, Any] = self._json(f"/api/v1/tasks/{task_id}")["usage"]
        return usage

    def diff(self, task_id: str) -> str:
        """Give what the task changed."""
        return self.http.get(f"/api/v1/tasks/{task_id}/diff").raise_for_status().text

    def events(self, task_id: str) -> Iterator[dict[str, Any]]:
        """Give every event as it happens, until the task has ended."""
        after, deadline = 0, time.monotonic() + LONGEST_TASK
        while time.monotonic() < deadline:
            page = self._json(f"/api/v1/tasks/{task_id}/events?after={after}")
            after = page["next_after"]
            yield from page["items"]
            if any(event["type"] == "task.finished" for event in page["items"]):
                return
            time.sleep(POLL_INTERVAL)
        raise DemoFailed(f"The task did not end within {LONGEST_TASK} seconds.")

    def _json(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(path).raise_for_status().json()
        return answer
