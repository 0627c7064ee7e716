"""The service that the demo talks to: a real process with its own folders, port and key."""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from codebot.demo.client import POLL_INTERVAL, Client, DemoFailed
from codebot.settings import Settings

LONGEST_START = 30
LONGEST_STOP = 40
BUDGET_USD = "2"

_OF_ANOTHER_SERVICE = ("CODEBOT_", "GITHUB_", "ANTHROPIC_")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demo happens: its folder and, in it, what is made there; and its port and key."""

    folder: Path
    port: int
    key: str

    @property
    def project(self) -> Path:
        """The repository that the task is about."""
        return self.folder / "project"

    @property
    def result(self) -> Path:
        """The tree of the finished branch."""
        return self.folder / "result"

    @property
    def log(self) -> Path:
        """What the service logs."""
        return self.folder / "service.log"

    @property
    def url(self) -> str:
        """Where the service listens."""
        return f"http://127.0.0.1:{self.port}"


def choose_place(folder: Path) -> Place:
    """Give a place in `folder` with a free port and a key that nobody knows."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Place(folder, probe.getsockname()[1], secrets.token_urlsafe(24))


def environment_of(
    place: Place, settings: Settings, environ: Mapping[str, str], turns: Sequence[Any]
) -> dict[str, str]:
    """Give the service's environment: the caller's, without what configures another service.

    With a credential for a model that is the one that is asked; without, `turns` are played.
    """
    env = {n: text for n, text in environ.items() if not n.startswith(_OF_ANOTHER_SERVICE)}
    env |= {
        "CODEBOT_API_KEYS": place.key,
        "CODEBOT_PUBLIC_URL": place.url,
        "CODEBOT_LOCAL_REPOS": str(place.folder),
        "CODEBOT_DATA_DIR": str(place.folder / "data"),
        "CODEBOT_WORK_DIR": str(place.folder / "work"),
        "CODEBOT_MAX_BUDGET_USD": BUDGET_USD,
    }
    if settings.claude_bin:
        env["CODEBOT_CLAUDE_BIN"] = str(settings.claude_bin)
    if not settings.is_boxed:
        env["CODEBOT_SANDBOX"] = settings.sandbox
    if is_real(settings):
        return env | _model(settings)
    script = place.folder / "turns.json"
    script.write_text(json.dumps({"turns": turns}, indent=2))
    return env | {"ANTHROPIC_BASE_URL": f"scripted:{script}"}


def is_real(settings: Settings) -> bool:
    """Say whether there is a real model to ask."""
    return settings.has_model_credential and not isinstance(settings.anthropic_base_url, Path)


def _model(settings: Settings) -> dict[str, str]:
    secret_of = {
        "ANTHROPIC_API_KEY": settings.anthropic_api_key,
        "ANTHROPIC_AUTH_TOKEN": settings.anthropic_auth_token,
    }
    model = {name: secret.reveal() for name, secret in secret_of.items() if secret}
    if settings.model:
        model["CODEBOT_MODEL"] = settings.model
    return model | {"ANTHROPIC_BASE_URL": str(settings.anthropic_base_url)}


@contextmanager
def running_service(place: Place, env: Mapping[str, str]) -> Iterator[Client]:
    """Run `codebot serve` until the block ends, and give a client once it is healthy."""
    command = [sys.executable, "-m", "codebot", "serve", "--port", str(place.port)]
    with place.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - this very program
            command, cwd=place.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    key = {"Authorization": f"Bearer {place.key}"}
    try:
        with httpx.Client(base_url=place.url, headers=key, trust_env=False) as http:
            _wait_until_healthy(http, process)
            yield Client(http)
    finally:
        _stop(process)


def _wait_until_healthy(http: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"The service ended at once, with exit code {process.returncode}.")
        try:
            if http.get("/health").is_success:
                return
        except httpx.TransportError:  # not listening yet, or just ended: the next look tells
            pass
        time.sleep(POLL_INTERVAL)
    raise DemoFailed(f"The service did not become healthy within {LONGEST_START} seconds.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(LONGEST_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
