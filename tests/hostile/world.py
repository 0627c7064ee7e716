"""The host of a hostile box: what is secret on it, and what listens there, for attempts to find."""

import ctypes
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codebot.sandbox import arguments, surroundings, syscalls

LAN, METADATA = "10.77.0.1", "169.254.169.254"
GREETING = b"the host is speaking"
NUMBERS = {"x86_64": syscalls.X86_64, "aarch64": syscalls.AARCH64}
IPC_PRIVATE_MODE = 0o1600  # IPC_CREAT, for the owner
PYTHONS = tuple(f"{arguments.TOOLS}/{name}" for name in ("python", "python3"))


@dataclass(frozen=True)
class Host:
    """What the attempts are told, so that they need not search."""

    canary: str
    marker: str
    folder: str
    secret: str
    other_tree: str
    other_nap: str
    service: int
    port: int
    lan: str | None
    metadata: str | None
    socket: str
    shm: int
    hostname: str
    handle: str

    def told(self, *, looks: bool, asked: Sequence[tuple[int, list[int]]] = ()) -> dict[str, Any]:
        """Give the world of one run of the attempts."""
        return {
            **asdict(self),
            "numbers": dict(NUMBERS[os.uname().machine]),
            "first_unknown": syscalls.FIRST_UNKNOWN,
            "paths": allowed_paths(),
            "files": [*surroundings.FILES, "/etc/hosts"],
            "links": [*(place for _, place in surroundings.LINKS), *PYTHONS],
            "moded": [
                *("/tmp", "/dev/shm", "/run", "/run/shim", "/etc/hosts"),
                *(*surroundings.FILES, *surroundings.FOLDERS),
            ],
            "looks": looks,
            "asked": list(asked),
        }


def allowed_paths() -> list[str]:
    """Give what every box may see of the host, as far as there is such a thing here."""
    further = [Path(path) for path in ("/bin/sh", "/sbin", "/lib", "/lib64", "/usr/bin/env")]
    return [*surroundings.host_paths(), *(str(path) for path in further if path.exists())]


@contextmanager
def open_host(folder: Path, marker: str, *, own_network: bool) -> Iterator[Host]:
    """Give a host with a secret, another task's tree, and services on every kind of address.

    `marker` stands on the command line of this process, and its environment holds the canary.
    """
    canary = os.environ["CANARY"]
    secret, other = folder / "secret", folder / "other" / "tree"
    secret.write_text(canary)
    secret.chmod(0o600)
    for path in (folder / "other", other, folder / "other" / "home"):
        path.mkdir(mode=0o700)
    (other / "work").touch()
    shm_key = int.from_bytes(os.urandom(3), "big") + 1
    with (
        _listening(marker, str(folder / "socket")) as port,
        _shared_memory(shm_key),
        secret.open(),  # as a service holds its files
    ):
        yield Host(
            canary=canary,
            marker=marker,
            folder=str(folder),
            secret=str(secret),
            other_tree=str(other),
            other_nap=f"47.{secrets.randbelow(10**9):09}",
            service=os.getpid(),
            port=port,
            lan=LAN if own_network else None,
            metadata=METADATA if own_network else None,
            socket=str(folder / "socket"),
            shm=shm_key,
            hostname=os.uname().nodename,
            handle=_handle("/usr").hex(),
        )


@contextmanager
def _listening(marker: str, path: str) -> Iterator[int]:
    """Greet whoever comes, on one port of all addresses and on two sockets of UNIX."""
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as tcp:
        port: int = tcp.getsockname()[1]
        opened = [tcp, *(socket.socket(socket.AF_UNIX) for _ in range(2))]
        opened.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        opened[1].bind(f"\0{marker}")
        opened[2].bind(path)
        opened[3].bind(("", port))
        for server in opened[1:3]:
            server.listen()
        for server in opened:
            threading.Thread(target=_greet, args=(server,), daemon=True).start()
        try:
            yield port
        finally:
            for server in opened:
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                server.close()


def _greet(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            if server.type == socket.SOCK_DGRAM:
                _, address = server.recvfrom(10)
                if address is None:  # it was shut down
                    return
                server.sendto(GREETING, address)
            else:
                client, _ = server.accept()
                client.send(GREETING)
                client.close()


@contextmanager
def _shared_memory(key: int) -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(key, 4096, IPC_PRIVATE_MODE)
    assert segment >= 0
    try:
        yield
    finally:
        libc.shmctl(segment, 0, None)  # IPC_RMID


def _handle(path: str) -> bytes:
    handle = ctypes.create_string_buffer(bytes([128, 0, 0, 0]) + bytes(132))
    mount = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.name_to_handle_at(-100, path.encode(), handle, ctypes.byref(mount), 0)
    return handle.raw if done == 0 else b""  # an overlay has none
