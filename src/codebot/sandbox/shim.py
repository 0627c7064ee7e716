"""Runs first in a box that may reach something: opens its way out, hands it over, steps aside.

    python3 -ISs shim.py CHANNEL PORT,PORT COMMAND...

The box has a network of its own in which nothing listens. This binds the ports there and passes
the *listening sockets* to the service over the inherited socket pair; the service serves them from
the outside. There is no path, address or password by which anybody else could come in.

Only the first port is needed. Where the box's network keeps low ports for root, the second is left
out: this has no capability to take it.

It is given to the box as a file and imports only what is built in: `socket` costs 6 ms more,
`signal` 5.
"""

import _signal  # type: ignore[import-not-found] # typeshed has the public one alone
import _socket
import os
import sys


def listen(port: int) -> _socket.socket:
    """Listen on the box's loopback address."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def hand_over(channel_fd: int, port: int, *others: int) -> None:
    """Listen, and pass the sockets on; fails if nobody takes them."""
    listeners = [listen(port)]
    for other in others:
        try:
            listeners.append(listen(other))
        except PermissionError:
            break
    descriptors = b"".join(each.fileno().to_bytes(4, sys.byteorder) for each in listeners)
    channel = _socket.socket(fileno=channel_fd)
    channel.sendmsg([b"L"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    channel.close()
    for listener in listeners:
        listener.close()


def main() -> None:
    """Hand the listeners over, then become the command."""
    hand_over(int(sys.argv[1]), *map(int, sys.argv[2].split(",")))
    for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):  # by Python; the command must not
        _signal.signal(ignored, _signal.SIG_DFL)
    command = sys.argv[3:]
    try:
        os.execvp(command[0], command)  # noqa: S606 - what a box is for
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
