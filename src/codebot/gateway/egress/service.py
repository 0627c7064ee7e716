"""The way out of every box: one listening socket each, with the box's own rules behind it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from codebot.domain.box import (
    HOST_ADDRESS,
    HOSTNAME,
    NPM_HOST,
    PROXY_PORT,
    PYPI_HOST,
    Network,
    Outfit,
)
from codebot.domain.egress import Access, AccessVerdict
from codebot.domain.ports import Doors
from codebot.domain.task import TaskId
from codebot.gateway.egress.box_http import BoxHttp
from codebot.gateway.egress.dial import HTTP, Dialler
from codebot.gateway.egress.doorman import Connections, Doorman
from codebot.gateway.egress.fetch import Fetcher
from codebot.gateway.egress.npm_registry import NpmRegistry
from codebot.gateway.egress.policy import AllowList
from codebot.gateway.egress.python_index import PythonIndex
from codebot.gateway.egress.replies import plain
from codebot.gateway.egress.shelf import Ask, Reader, Shelf
from codebot.gateway.egress.tunnel import Tunnels
from codebot.gateway.server import LONGEST_IDLE

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 64
OURSELVES = frozenset({"127.0.0.1", "localhost"})

Record = Callable[[TaskId, Access], None]


class BoxEgress:
    """Serves the boxes of all tasks (an `Egress`).

    `model` gives what answers for the model to the boxes of one task. `record` hears of every
    host that was reached or refused. `ask_pip` and `ask_npm` say which registries there are.
    """

    def __init__(
        self,
        *,
        model: Callable[[TaskId], ASGIApp],
        record: Record,
        allowed: AllowList,
        dialler: Dialler,
        fetcher: Fetcher,
        ask_pip: Ask,
        ask_npm: Ask,
        port: int = PROXY_PORT,
    ) -> None:
        self._model = model
        self._record = record
        self._allowed = allowed
        self._dialler = dialler
        self._fetcher = fetcher
        self._port = port
        self._shelves = {
            PYPI_HOST: Shelf(
                ask_pip,
                PythonIndex(fetcher, self._url(PYPI_HOST)).answer,
                "The service knows no Python index: its pip names none that can be reached.",
            ),
            NPM_HOST: Shelf(
                ask_npm,
                NpmRegistry(fetcher, self._url(NPM_HOST)).answer,
                "The service knows no npm registry: there is no npm beside it.",
            ),
        }

    async def outfit(self, network: Network) -> Outfit:
        """Give what a box needs so that its programs find proxy and registries."""
        if network is Network.NONE:
            return Outfit()
        return Outfit(self._environment(), hosts=(PYPI_HOST, NPM_HOST))

    def _environment(self) -> Mapping[str, str]:
        proxy = f"http://127.0.0.1:{self._port}"
        direct = f"localhost,127.0.0.1,::1,{HOSTNAME},{HOST_ADDRESS},{PYPI_HOST},{NPM_HOST}"
        index = f"{self._url(PYPI_HOST)}/simple/"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        return proxies | {
            "NO_PROXY": direct,
            "no_proxy": direct,
            "PIP_INDEX_URL": index,
            "PIP_TRUSTED_HOST": PYPI_HOST,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "UV_DEFAULT_INDEX": index,
            "npm_config_registry": f"{self._url(NPM_HOST)}/",
            "npm_config_replace_registry_host": "always",
            "npm_config_audit": "false",
            "npm_config_fund": "false",
            "npm_config_update_notifier": "false",
        }

    async def serve(self, task_id: TaskId, network: Network, doors: Doors) -> "ServedBox":
        """Serve a box's own listening sockets, which this owns from now on."""
        if doors.tls is not None:
            doors.tls.close()
        listener = doors.proxy
        record = partial(self._record, task_id)
        tunnels = Tunnels(self._allowed, self._dialler, record)
        model = self._model(task_id) if network is Network.MODEL else None
        config = _config(partial(self._answer, model, Reader(record)))
        state = ServerState()
        connections = Connections(MOST_CONNECTIONS)
        listener.setblocking(False)  # noqa: FBT003 - its only parameter
        server = await asyncio.get_running_loop().create_server(
            lambda: Doorman(connections, tunnels.serve, partial(BoxHttp, config, state)),
            sock=listener,
        )
        return ServedBox(server, connections, state)

    async def close(self) -> None:
        """Close what is kept open to the registries."""
        await self._fetcher.close()

    async def _answer(
        self,
        model: ASGIApp | None,
        reader: Reader,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request of a box (an ASGI application), by the host that it names."""
        with suppress(asyncio.CancelledError):  # the box has ended, and nobody is left to be told
            await self._answer_now(model, reader, scope, receive, send)

    async def _answer_now(
        self, model: ASGIApp | None, reader: Reader, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request = Request(scope, receive)
        host = request.headers.get("host", "").partition(":")[0].lower()
        if host in OURSELVES and model is not None:
            await model(scope, receive, send)
            return
        shelf = self._shelves.get(host)
        if shelf is not None:
            await reader.read(shelf, request, host, send)
        else:
            await _refused(request, host, reader.record)(scope, receive, send)

    def _url(self, host: str) -> str:
        return f"http://{host}:{self._port}"


@dataclass(frozen=True, slots=True)
class ServedBox:
    """The way out of one box, while the box runs."""

    server: asyncio.Server
    connections: Connections
    state: ServerState

    async def close(self) -> None:
        """Cut every connection and close the listening socket."""
        self.server.close()
        await self.connections.close()
        for task in tuple(self.state.tasks):
            task.cancel()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks)
        await asyncio.sleep(0)  # an aborted connection closes its socket in the loop's next round


def _refused(request: Request, host: str, record: Callable[[Access], None]) -> Response:
    if host in OURSELVES:
        return plain(403, "This box has no way to the model.")
    port = request.headers.get("host", "").partition(":")[2]
    reason = "only https passes, by CONNECT"
    record(
        Access(host or "?", int(port) if port.isdecimal() else HTTP, AccessVerdict.REFUSED, reason)
    )
    words = f"Codebot does not let this box reach {host or 'that'}: {reason}."
    return plain(403, words)


def _config(application: ASGIApp) -> Config:
    config = Config(
        application,
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=LONGEST_IDLE,
    )
    config.load()
    return config
