"""The commands' side of a running service: its keys, its words, and what answers that is none."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from codebot.client.service import ServiceClient
from codebot.domain.secret import Secret
from codebot.errors import Conflict, NotFound, ServiceUnreachable, Unauthorized
from fakes.api import KEY, OTHER_KEY, TASK, Api, open_api, serve
from fakes.connection import answering
from fakes.service import free_port


@dataclass
class Desk:
    """A service behind a port, and who asks it."""

    api: Api
    url: str

    async def act(self, task_id: str, action: str, *keys: str) -> str:
        client = ServiceClient(self.url, [Secret(key) for key in keys or (KEY,)])
        return await asyncio.to_thread(client.act, task_id, action)

    async def submit(self) -> str:
        task_id: str = (await self.api.client.post("/api/tasks/submit", json=TASK)).json()[
            "task_id"
        ]
        return task_id


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_api(tmp_path) as api, serve(api.app) as port:
        yield Desk(api, f"http://127.0.0.1:{port}")


async def test_a_task_is_cancelled_and_retried(desk: Desk) -> None:
    task_id = await desk.submit()
    assert await desk.act(task_id, "cancel") == "Task cancelled"
    assert await desk.act(task_id, "retry") == "Task queued again"


@pytest.mark.parametrize("keys", [(OTHER_KEY, KEY), ("not-of-this-service", KEY), (KEY, OTHER_KEY)])
async def test_the_key_that_submitted_the_task_is_found(desk: Desk, keys: tuple[str, ...]) -> None:
    assert await desk.act(await desk.submit(), "cancel", *keys) == "Task cancelled"


async def test_what_the_service_refuses_is_said_in_its_words(desk: Desk) -> None:
    task_id = await desk.submit()
    with pytest.raises(Conflict, match="is pending: it can be retried when it has failed"):
        await desk.act(task_id, "retry")
    with pytest.raises(NotFound, match="submitted with this API key"):
        await desk.act(task_id, "cancel", OTHER_KEY)
    with pytest.raises(Unauthorized):
        await desk.act(task_id, "cancel", "not-of-this-service")
    with pytest.raises(NotFound):
        await desk.act("../../health?", "cancel")


async def test_an_address_without_a_service_is_named(desk: Desk) -> None:
    nobody = Desk(desk.api, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnreachable, match=f"No service answers at {nobody.url}"):
        await nobody.act("x", "cancel")


async def test_what_is_no_codebot_is_said_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

    async with answering(answer) as port:
        client = ServiceClient(f"http://127.0.0.1:{port}", [Secret(KEY)])
        with pytest.raises(ServiceUnreachable, match="is no Codebot"):
            await asyncio.to_thread(client.act, "x", "cancel")
