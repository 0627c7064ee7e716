"""A service that works for the fake GitHub, with a shell script as its agent."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codebot.sandbox import marks, processes
from fakes.github import FakeGitHub, private_key
from fakes.service import PRELOADED, Process, RunningService, run_service, run_worker

COMMAND = [sys.executable, "-m", "codebot"]
FULL_NAME = "octo/shop"
WORKS = "echo worked >> ~/count; cat > /dev/null; echo '# mended' >> shop.py; echo done"
"""An agent: it counts its launches in its HOME, and changes one file."""


def make_repository(folder: Path, files: dict[str, str]) -> Path:
    """Give a bare repository with one commit on `main`."""
    tree, bare = folder / "origin-tree", folder / "origin.git"
    tree.mkdir()
    for name, text in files.items():
        (tree / name).write_text(text)
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-qm", "A shop"],
        ["clone", "-q", "--bare", str(tree), str(bare)],
    ):
        subprocess.run(["git", *arguments], cwd=tree, check=True)
    return bare


@dataclass
class Shop:
    """The world of one test: a GitHub with a repository, and what a service on it needs."""

    folder: Path
    github: FakeGitHub
    bare: Path
    agent: str = WORKS
    settings: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = PRELOADED

    @property
    def launches(self) -> int:
        """How often the agent was started."""
        return len(self.noted("count").splitlines())

    def noted(self, name: str) -> str:
        """Give what agents have written to a file in their HOME, all tasks together."""
        return "".join(file.read_text() for file in self.work_dir.glob(f"*/home/{name}"))

    def noted_by(self, task_id: str, name: str) -> str:
        """Give what the agent of one task has written to a file in its HOME."""
        return (self.work_dir / task_id / "home" / name).read_text()

    @property
    def work_dir(self) -> Path:
        """Where the service keeps the workspaces."""
        return self.folder / "codebot_workspace"

    def living(self) -> list[int]:
        """Give the processes of the service's boxes, which all carry its mark."""
        mark = marks.variable(str(self.work_dir), None)
        return [
            process.pid
            for process in processes.process_table()
            if process.is_alive and processes.has_in_environment(process.pid, mark)
        ]

    @contextmanager
    def serve(self, *arguments: str) -> Iterator[RunningService]:
        """Serve; a second time goes on with the same data."""
        with run_service(self.command, self.folder, *arguments, env=self._given()) as service:
            yield service

    def node(self, name: str) -> "Shop":
        """Give the shop as a further node sees it: with a folder of its own."""
        return replace(self, folder=self.folder / name)

    def work(self) -> AbstractContextManager[Process]:
        """Work on what others take in, on the database that the settings name."""
        self.folder.mkdir(exist_ok=True)
        return run_worker(self.command, self.folder, env=self._given())

    def _given(self) -> dict[str, str]:
        """Give the environment of a node, with the files that it names in place."""
        (self.folder / "agent.sh").write_text(self.agent)
        env = {
            "CODEBOT_AGENT": f"command:/bin/sh {self.folder / 'agent.sh'}",
            "GITHUB_API_URL": self.github.api_url,
            "GITHUB_APP_ID": self.github.app_id,
            "GITHUB_APP_PRIVATE_KEY_PATH": str(self.folder / "app.pem"),
            "CODEBOT_LOG_FORMAT": "json",
            "CODEBOT_REGISTRIES": "go",  # for others, pip and npm are asked at each start
            **self.settings,
        }
        if self.github.api_url != self.github.web_url:
            env["GITHUB_ENTERPRISE_URL"] = self.github.web_url
        (self.folder / "app.pem").write_text(private_key())
        return env

    def submit(self, service: RunningService, **fields: Any) -> str:
        """Submit a task for the repository and give its id."""
        body = {
            "repository_url": f"{self.github.web_url}/{FULL_NAME}.git",
            "description": "Mend the shop",
            "test_command": "grep -q mended shop.py",
        } | fields
        answer = service.http.post("/api/tasks/submit", json=body)
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["task_id"]
        return task_id

    def pulls(self) -> list[Any]:
        """Give the pull requests of the repository."""
        repository = self.github.world.repository(FULL_NAME)
        assert repository is not None
        return repository.pulls

    def git(self, *arguments: str) -> str:
        """Ask the forge's bare repository."""
        return subprocess.run(
            ["git", *arguments], cwd=self.bare, check=True, capture_output=True, text=True
        ).stdout


@contextmanager
def open_shop(folder: Path, flavour: str = "api.github.com") -> Iterator[Shop]:
    """Give a GitHub of a flavour that holds the shop's repository."""
    bare = make_repository(folder, {"shop.py": "# a shop\n"})
    github = FakeGitHub(flavour)
    github.add_repository(FULL_NAME, folder=bare)
    with github.serve():
        yield Shop(folder, github, bare)


def wait_for(
    service: RunningService,
    task_id: str,
    is_it: Callable[[dict[str, Any]], bool],
    deadline: float = 40,
) -> dict[str, Any]:
    """Poll the status until it is so, and give it; each look costs the service and the test."""
    until = time.monotonic() + deadline
    while True:
        status: dict[str, Any] = service.http.get(f"/api/tasks/{task_id}/status").json()
        if is_it(status):
            return status
        assert time.monotonic() < until, f"{json.dumps(status)}\n{service.stderr}"
        time.sleep(0.05)


def is_over(status: dict[str, Any]) -> bool:
    """Say whether the task has ended."""
    return status["status"] in {"completed", "failed"}


def events(service: RunningService, task_id: str) -> list[dict[str, Any]]:
    """Give everything that happened to the task."""
    answer = service.http.get(f"/api/v1/tasks/{task_id}/events", params={"limit": "1000"})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
