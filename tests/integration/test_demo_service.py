"""A demo's service that does not come up."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codebot.demo.client import DemoFailed
from codebot.demo.service import Place, running_service

AT_ONCE = struct.pack("ii", 1, 0)
"""To linger for no second: a connection that is closed is reset."""


@pytest.fixture
def resetting_port() -> Iterator[int]:
    """A port whose connections end before an answer, as when a service dies while it starts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_service_that_dies_while_it_starts_is_told_by_its_exit_code(
    tmp_path: Path, resetting_port: int
) -> None:
    place = Place(tmp_path, resetting_port, "any")

    with (
        pytest.raises(DemoFailed, match="ended at once, with exit code 78"),
        running_service(place, {"PATH": os.environ["PATH"]}),
    ):
        pass
