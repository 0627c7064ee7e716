"""Attempts to reach anything by any kind of socket, or by shared memory."""

import errno
import os
import socket
from contextlib import suppress

from .trying import Absent, World, attempt, checked, libc, proc


def greeting(family: int, address: object, kind: int = socket.SOCK_STREAM) -> str:
    """Give what a service of the host says to whoever connects."""
    if None in (address if isinstance(address, tuple) else ()):
        raise Absent("no network of its own could be made for this trial")
    with socket.socket(family, kind) as client:
        client.settimeout(2)
        client.connect(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_DGRAM:
            client.send(b"?")
        return client.recv(100).decode()


@attempt("reach a service on the host's loopback address")
def _(world: World) -> object:
    return greeting(socket.AF_INET, ("127.0.0.1", world["port"]))


@attempt("reach a service on the host's loopback address by IPv6")
def _(world: World) -> object:
    return greeting(socket.AF_INET6, ("::1", world["port"]))


@attempt("reach a service by UDP")
def _(world: World) -> object:
    return greeting(socket.AF_INET, ("127.0.0.1", world["port"]), socket.SOCK_DGRAM)


@attempt("reach an address of the host's own network")
def _(world: World) -> object:
    return greeting(socket.AF_INET, (world["lan"], world["port"]))


@attempt("reach the metadata service of a cloud")
def _(world: World) -> object:
    return greeting(socket.AF_INET, (world["metadata"], world["port"]))


@attempt("reach an abstract socket of the host")
def _(world: World) -> object:
    return greeting(socket.AF_UNIX, f"\0{world['marker']}")


@attempt("reach a socket of the host by its path")
def _(world: World) -> object:
    return greeting(socket.AF_UNIX, world["socket"])


@attempt("see the host's network interfaces and connections")
def _(world: World) -> object:
    port = f":{world['port']:04X} "
    return [line for line in proc("self", "net/tcp6").decode().splitlines() if port in line]


def opened(family: int, kind: int, protocol: int = 0) -> bool:
    socket.socket(family, kind, protocol).close()
    return True


@attempt("open a vsock socket")
def _(world: World) -> object:
    return opened(40, socket.SOCK_STREAM)


@attempt("open a packet socket", root=True)
def _(world: World) -> object:
    return opened(17, socket.SOCK_RAW)


@attempt("open a raw socket", root=True)
def _(world: World) -> object:
    return opened(socket.AF_INET, socket.SOCK_RAW, 1)


@attempt("open a socket of the kernel's cryptography")
def _(world: World) -> object:
    return opened(38, socket.SOCK_SEQPACKET)


@attempt("hear about new hardware")
def _(world: World) -> object:
    return opened(16, socket.SOCK_DGRAM, 15)


@attempt("list all sockets")
def _(world: World) -> object:
    return opened(16, socket.SOCK_DGRAM, 4)


@attempt("load a transport protocol")
def _(world: World) -> object:
    for protocol in (132, 136, 262 - 6, 115):  # SCTP, UDP-Lite, SMC, L2TP
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with suppress(OSError):
                return opened(socket.AF_INET, kind, protocol)
    raise OSError(errno.EPROTONOSUPPORT, "none")


@attempt("attach to shared memory of the host")
def _(world: World) -> object:
    return checked(libc.shmget(world["shm"], 0, 0)) >= 0


@attempt("learn the host's name")
def _(world: World) -> object:
    return os.uname().nodename == world["hostname"]
