"""A demo's service that does not come up, and a lock file from where pip was told to look."""

import asyncio
import base64
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codebot.demo.client import DemoFailed
from codebot.demo.locking import lock_project
from codebot.demo.service import Place, running_service
from fakes.registry import PROJECT, FakeRegistry

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


async def test_the_project_is_locked_from_the_index_that_pip_was_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = f'[project]\nname = "a"\nversion = "1"\ndependencies = ["{PROJECT}"]\n'
    files = {"pyproject.toml": described + 'requires-python = ">=3.11"\n'}
    async with FakeRegistry() as registry:
        where = registry.url.replace("://", "://me%40corp:secret@")
        monkeypatch.setenv("PIP_INDEX_URL", f"{where}/simple")
        assert await asyncio.to_thread(lock_project, tmp_path, files, os.environ)
        told = {headers.get("authorization") for _, _, headers in registry.asked}
        locked = (tmp_path / "uv.lock").read_text()
        assert f'registry = "{registry.url}/simple"' in locked
    assert "secret" not in locked
    assert f"Basic {base64.b64encode(b'me@corp:secret').decode()}" in told
