"""Runs first in a box that may reach something: opens its way out, hands it over, steps aside.

    python3 -ISs shim.py CHANNEL PORT COMMAND...

The box has a network of its own in which nothing listens. This binds the port there and passes
the *listening socket* to the service over the inherited socket pair; the service serves it from
the outside. There is no path, address or password by which anybody else could come in.

It is given to the box as a file and imports only what is built in: `socket` costs 6 ms more,
`signal` 5.
"""

import _signal  # type: ignore[import-not-found] # typeshed has the public one alone
import _socket
import os
import sys


def hand_over(channel_fd: int, port: int) -> None:
    """Listen on the box's loopback address and pass the socket on; fails if nobody takes it."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    channel = _socket.socket(fileno=channel_fd)
    descriptor = listener.fileno().to_bytes(4, sys.byteorder)
    channel.sendmsg([b"L"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])
    channel.close()
    listener.close()


def main() -> None:
    """Hand the listener over, then become the command."""
    hand_over(int(sys.argv[1]), int(sys.argv[2]))
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores it; the command must not
    command = sys.argv[3:]
    try:
        os.execvp(command[0], command)  # noqa: S606 - what a box is for
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
