"""Connections through a proxy, for bytes that are not our own HTTP."""

import asyncio
import base64
import ssl
from contextlib import ExitStack
from urllib.parse import SplitResult, unquote, urlsplit

from socksio.exceptions import SOCKSError
from socksio.socks5 import (
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5AuthReply,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Connection,
    SOCKS5Reply,
    SOCKS5ReplyCode,
    SOCKS5UsernamePasswordReply,
    SOCKS5UsernamePasswordRequest,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PIECE = 4096


class ProxyRefused(OSError):
    """The proxy answered, and not with a connection; the text says what it said."""


async def open_tunnel(proxy: str, host: str, port: int, *, trust: ssl.SSLContext) -> Streams:
    """Give a connection that the proxy makes; raises `ProxyRefused`, or `OSError` before that.

    `proxy` is an address as `settings.proxy` gives it; `trust` checks the certificate of one that
    speaks TLS. The proxy resolves the name. No time limit is kept here.
    """
    parts = urlsplit(proxy)
    reader, writer = await asyncio.open_connection(
        parts.hostname or "", parts.port or 0, ssl=trust if parts.scheme == "https" else None
    )
    with ExitStack() as undo:
        undo.callback(writer.transport.abort)
        try:
            if parts.scheme == "socks5h":
                await _ask_socks(reader, writer, parts, host, port)
            else:
                await _ask_http(reader, writer, parts, f"{host}:{port}")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, SOCKSError) as error:
            raise ProxyRefused("it answers with what is no answer of a proxy") from error
        undo.pop_all()
    return reader, writer


async def _ask_http(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: SplitResult, authority: str
) -> None:
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if proxy.username:
        known = base64.b64encode(":".join(_known(proxy)).encode()).decode()
        head += f"Proxy-Authorization: Basic {known}\r\n"
    writer.write(f"{head}\r\n".encode())
    status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1:2]
    if status == [b"407"]:
        raise ProxyRefused("it asks for another user and password (407)")
    if status != [b"200"]:
        raise ProxyRefused(
            f"it answers {b''.join(status)[:3].decode(errors='replace') or 'nothing'}"
        )


async def _ask_socks(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    proxy: SplitResult,
    host: str,
    port: int,
) -> None:
    """https://www.rfc-editor.org/rfc/rfc1928 and, for the password, rfc1929 ."""
    connection = SOCKS5Connection()

    async def say(request: object) -> object:
        connection.send(request)
        writer.write(connection.data_to_send())
        if not (piece := await reader.read(_PIECE)):
            raise ProxyRefused("it hangs up")
        return connection.receive_data(piece)

    offered = [SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    offered += [SOCKS5AuthMethod.USERNAME_PASSWORD] if proxy.username else []
    chosen = await say(SOCKS5AuthMethodsRequest(offered))
    if not isinstance(chosen, SOCKS5AuthReply) or chosen.method not in offered:
        raise ProxyRefused("it asks for a user and password")
    if chosen.method == SOCKS5AuthMethod.USERNAME_PASSWORD:
        user, password = (text.encode() for text in _known(proxy))
        let_in = await say(SOCKS5UsernamePasswordRequest(user, password))
        if not isinstance(let_in, SOCKS5UsernamePasswordReply) or not let_in.success:
            raise ProxyRefused("it asks for another user and password")
    request = SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, port))
    reply = await say(request)
    if not isinstance(reply, SOCKS5Reply) or reply.reply_code != SOCKS5ReplyCode.SUCCEEDED:
        code = reply.reply_code.name if isinstance(reply, SOCKS5Reply) else "nothing"
        raise ProxyRefused(f"it answers: {code.replace('_', ' ').lower()}")


def _known(proxy: SplitResult) -> tuple[str, str]:
    return unquote(proxy.username or ""), unquote(proxy.password or "")
