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

import httpx

KEY = "service-test-key-1"


@dataclass(frozen=True)
class RunningService:
    """A service that is healthy: a client with a valid key, its process, what it printed."""

    http: httpx.Client
    process: subprocess.Popen[bytes]
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
    """Serve repositories below `folder`; the service has ended when the block has."""
    port = free_port()
    given = {"CODEBOT_API_KEYS": KEY, "CODEBOT_PORT": str(port)}
    process = _start([*command, "serve", *arguments], folder, given | dict(env or {}))
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


@contextmanager
def run_worker(
    command: Sequence[str | Path], folder: Path, *arguments: str, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Work on what services take in, in a folder of its own; it has ended when the block has."""
    folder.mkdir(exist_ok=True)
    process = _start([*command, "worker", *arguments], folder, env)
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
    command: Sequence[str | Path], folder: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a node for the repositories below its folder, unless `env` names others."""
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CODEBOT_LOCAL_REPOS": str(folder),
    }
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=given | dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
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
