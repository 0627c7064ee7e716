"""Starts `codebot serve` as a process, and ends it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from fakes.preloaded import Preloaded

KEY = "service-test-key-1"
PRELOADED = ()
"""Instead of the words of a command: quicker, and the same but for what a start itself needs."""


class Process(Protocol):
    """What tests do with a node's process: the part of `subprocess.Popen` that they need."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class RunningService:
    """A service that is healthy: a client with a valid key, its process, what it printed."""

    http: httpx.Client
    process: Process
    folder: Path

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


@contextmanager
def run_service(
    command: Sequence[str | Path],
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    deadline: float = 30,
) -> Iterator[RunningService]:
    """Serve repositories below `folder`; the service has ended when the block has.

    `command` is what starts `codebot`, or `PRELOADED`.
    """
    port = free_port()
    given = {"CODEBOT_API_KEYS": KEY, "CODEBOT_PORT": str(port)}
    process = _start(command, ["serve", *arguments], folder, given | dict(env or {}))
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
        ) as http:
            service = RunningService(http, process, folder)
            _wait_until_healthy(service, time.monotonic() + deadline)
            yield service
    finally:
        _end(process)


def refused_start(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Give the exit code and the stderr of a service that does not even start in `folder`."""
    given = {"CODEBOT_API_KEYS": KEY, "CODEBOT_PORT": str(free_port())}
    process = _start(PRELOADED, ["serve", *arguments], folder, given | dict(env or {}))
    try:
        return process.wait(60), (folder / "stderr").read_text()
    finally:
        _end(process)


@contextmanager
def run_worker(
    command: Sequence[str | Path], folder: Path, *arguments: str, env: Mapping[str, str]
) -> Iterator[Process]:
    """Work on what services take in, in a folder of its own; it has ended when the block has."""
    folder.mkdir(exist_ok=True)
    process = _start(command, ["worker", *arguments], folder, env)
    try:
        deadline = time.monotonic() + 60
        while b"Working on" not in (folder / "stdout").read_bytes():
            assert process.poll() is None, (folder / "stderr").read_text()
            assert time.monotonic() < deadline, (folder / "stderr").read_text()
            time.sleep(0.05)
        yield process
    finally:
        _end(process)


def _start(
    command: Sequence[str | Path], words: Sequence[str], folder: Path, env: Mapping[str, str]
) -> Process:
    """Start a node for the repositories below its folder, unless `env` names others."""
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CODEBOT_LOCAL_REPOS": str(folder),
        **env,
    }
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        if not command:
            return Preloaded(words, folder, given)
        return subprocess.Popen(
            [*command, *words],
            cwd=folder,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )


def _end(process: Process) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(service: RunningService, deadline: float) -> None:
    while time.monotonic() < deadline:
        assert service.process.poll() is None, service.stderr
        try:
            if service.http.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not healthy in time:\n{service.stderr}")
