"""A service behind HTTP, on a real store and queue, without anyone who works on the tasks."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette

from codebot.domain.ports import Finding
from codebot.domain.secret import Secret
from codebot.intake.api import build_api
from codebot.intake.keys import ApiKeys
from codebot.intake.repository_url import RepositoryRules
from codebot.intake.service import Service
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7, utc_now
from codebot.web.pages import add_pages
from fakes.at_once import at_once
from fakes.stored import counts

KEY = "secret-key-1"
OTHER_KEY = "schlüssel-2"
AUTH = {"Authorization": f"Bearer {KEY}"}
TASK = {
    "repository_url": "https://github.com/user/repo.git",
    "description": "Add dark mode support to the application",
}
FINDINGS = (Finding("git", ok=True, detail="2.39.5"),)


@dataclass(frozen=True)
class Api:
    """The application, a client that talks to it with a valid key, and its store."""

    app: Starlette
    client: httpx.AsyncClient
    service: Service

    @property
    def store(self) -> Store:
        return self.service.store

    def anonymous(self) -> httpx.AsyncClient:
        return _client(self.app, {})

    def stored(self) -> int:
        return sum(at_once(counts(self.store)).values())


@asynccontextmanager
async def open_api(
    folder: Path, *, max_pending: int = 100, roots: Sequence[Path] = ()
) -> AsyncIterator[Api]:
    """Open a service with a store in `folder`."""
    store = await _open_store(folder / "store.sqlite3")
    service = Service(
        keys=ApiKeys([Secret(KEY), Secret(OTHER_KEY)]),
        queue=EmbeddedQueue(store, max_pending=max_pending, now=utc_now, new_id=new_uuid7),
        store=store,
        rules=RepositoryRules("github.com", local_roots=tuple(roots)),
        now=lambda: datetime(2025, 11, 3, 12, 0, 0, 123_456, tzinfo=UTC),
        new_id=new_uuid7,
        version="1.2.3",
        workers=2,
        checks=lambda: FINDINGS,
    )
    app = build_api(service)
    add_pages(app, store)
    try:
        async with _client(app, AUTH) as client:
            yield Api(app, client, service)
    finally:
        await store.close()


_EMPTY: list[bytes] = []
"""The first store of this process, before anything was in it: copies need no migration."""


async def _open_store(path: Path) -> Store:
    if not _EMPTY:
        await (await Store.open(path)).close()
    _copy_empty(path)
    return await Store.open(path)


def _copy_empty(path: Path) -> None:
    if not _EMPTY:
        _EMPTY.append(path.read_bytes())
    path.write_bytes(_EMPTY[0])


def with_service(api: Api, **changes: object) -> None:
    """Change what the routes stand on."""
    api.app.state.service = replace(api.service, **changes)


@asynccontextmanager
async def serve(app: Starlette) -> AsyncIterator[int]:
    """Serve the application with uvicorn on loopback, in this loop; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http="httptools", log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listener.close()


def _client(app: Starlette, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://codebot",
        headers=headers,
    )
