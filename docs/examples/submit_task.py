"""Submit a task to Codebot and wait for its pull request.

    CODEBOT_URL=http://localhost:5000 CODEBOT_API_KEY=... \
        python3 submit_task.py https://github.com/you/project.git "Add dark mode support"

Python 3.11 or newer; nothing to install.
"""

import json
import os
import sys
import time
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

SERVICE = os.environ.get("CODEBOT_URL", "http://localhost:5000").rstrip("/")
API_KEY = os.environ.get("CODEBOT_API_KEY", "")
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "5"))


def call(path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Ask the service: POST when there is a body, GET otherwise."""
    request = Request(SERVICE + path, headers={"Authorization": f"Bearer {API_KEY}"})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def submit(task: dict[str, str]) -> str:
    """Give the id of the new task; while the queue is full, wait as long as the service says."""
    while True:
        try:
            return str(call("/api/tasks/submit", task)["task_id"])
        except HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(float(error.headers.get("Retry-After", "10")))


def wait_for(task_id: str) -> dict[str, Any]:
    """Give the task's status once it is final, telling each change on the way."""
    told = ""
    while True:
        task = call(f"/api/tasks/{task_id}/status")
        if task["status"] != told:
            told = task["status"]
            print(f"{task_id}: {told}", flush=True)
        if told in {"completed", "failed"}:
            return task
        time.sleep(POLL_SECONDS)


def main() -> int:
    """Do it; the exit code is 0 for a pull request, 1 for a failed task, 2 for a refused one."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    repository_url, description = sys.argv[1:]
    try:
        task = wait_for(submit({"repository_url": repository_url, "description": description}))
    except HTTPError as error:
        print(json.load(error)["message"], file=sys.stderr)
        return 2
    except URLError as error:
        print(f"{SERVICE} does not answer: {error.reason}", file=sys.stderr)
        return 2
    if task["status"] == "failed":
        print(task["error"], file=sys.stderr)
        return 1
    print(task["result"]["pr_url"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
