"""A line to a server that can be cut: nobody hears that it is, and what was said arrives later."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Line:
    """A port of loopback before a server's socket."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def cut(self) -> None:
        self._is_whole.clear()

    def heal(self) -> None:
        self._is_whole.set()

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self._server))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, from_: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := from_.recv(65536):
                self._is_whole.wait()
                to.sendall(data)
        self._is_whole.wait()
        for end in (from_, to):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self.heal()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def line_to(server: Path) -> Iterator[Line]:
    """Serve one for the block."""
    line = Line(server)
    serving = threading.Thread(target=line.serve)
    serving.start()
    try:
        yield line
    finally:
        line.close()
        serving.join()
