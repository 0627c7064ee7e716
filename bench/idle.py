"""What Codebot costs when it does nothing, and how soon it is there."""

import os
import subprocess
import sys
import time
from pathlib import Path
from socket import create_connection
from statistics import median

from bench.measure import ROUNDS, Figure, Figures
from bench.process import cpu_seconds_of, memory_of
from fakes.service import KEY, free_port, run_service

SETTLING_SECONDS = 2
IDLE_SECONDS = 10
CALLS = 5
CODEBOT = Path(sys.executable).with_name("codebot")


def measure(folder: Path) -> Figures:
    """Look at the memory and the CPU time of a service without work."""
    with run_service([CODEBOT], folder) as service:
        time.sleep(SETTLING_SECONDS)
        pid = service.process.pid
        memory = memory_of(pid)
        shares = [cpu_share(pid) for _ in range(ROUNDS)]
    note = f"Pss {memory['Pss']:.0f} MB"
    yield Figure("idle service: resident memory", [memory["Rss"]], 110, "MB", note=note)
    yield Figure(f"idle service: CPU over {IDLE_SECONDS} s", shares, 1, "%")


def measure_start(folder: Path) -> Figures:
    """Time `--help`, and `serve` until /health answers: on a new data directory, and again."""
    helps = [median(_time_help() for _ in range(CALLS)) for _ in range(ROUNDS)]
    yield Figure("codebot --help", helps, 0.35, "s", note=f"{CALLS} in each round")
    firsts, seconds = [], []
    for number in range(ROUNDS):
        place = folder / str(number)
        place.mkdir()
        firsts.append(_time_start(place))
        seconds.append(_time_start(place))
    yield Figure("serve until /health answers, new data directory", firsts, 1.2, "s")
    yield Figure("serve until /health answers, again", seconds, 1.2, "s")


def cpu_share(pid: int) -> float:
    """Give the share of one core, in percent, that the process uses for a while."""
    before = cpu_seconds_of(pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds_of(pid) - before) / IDLE_SECONDS * 100


def _time_help() -> float:
    began = time.perf_counter()
    subprocess.run([CODEBOT, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _time_start(folder: Path) -> float:
    """Start the service, ask until it is healthy, and end it."""
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CODEBOT_API_KEYS": KEY,
        "CODEBOT_LOCAL_REPOS": str(folder),
        "CODEBOT_PORT": str(port),
    }
    began = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([CODEBOT, "serve"], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        while not _is_healthy(port):
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.005)
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)


def _is_healthy(port: int) -> bool:
    """Ask with a bare socket: an HTTP library would take longer than what is timed."""
    try:
        with create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(15).startswith(b"HTTP/1.1 200")
    except ConnectionRefusedError:
        return False
