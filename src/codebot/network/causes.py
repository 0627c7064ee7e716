"""Why a connection failed, in words: what libraries raise hides it below errors of their own."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

_Kinds = type[BaseException] | tuple[type[BaseException], ...]
_CUT = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, EOFError)
_WORDS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ENETUNREACH: "there is no way to its network",
    errno.EHOSTUNREACH: "there is no way to its host",
    errno.ENETDOWN: "this machine's network is down",
    errno.EMFILE: "the service has too many open files",
}
_AUTHENTICATION = "407"


def why_unreachable(error: BaseException, proxy: str | None = None) -> str:
    """Say what kept an exchange from happening; no secret stands in it.

    `proxy` is the address of the one that the connection was to go through: what fails before
    anything else was spoken to failed there.

    >>> why_unreachable(ConnectionRefusedError(111, "Connection refused"))
    'the connection was refused'
    >>> why_unreachable(socket.gaierror(-2, "Name or service not known"), "http://me:pw@proxy:3128")
    'its proxy proxy:3128: its name cannot be resolved (Name or service not known)'
    """
    causes = list(_causes(error))
    words = next((said for cause in causes if (said := _words(cause))), None)
    if words is None:
        words = f"the connection failed ({type(error).__name__})"
    is_its = proxy is not None and any(map(_is_before_speaking, causes))
    return f"its proxy {place_of(proxy)}: {words}" if proxy and is_its else words


def place_of(proxy: str) -> str:
    """Give host and port of a proxy, which is all that may be shown of its address."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and all that led to it, the innermost first."""
    inner = error.__cause__ or error.__context__
    if inner is not None:
        yield from _causes(inner)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    yield error


def _words(cause: BaseException) -> str | None:
    for kind, say in _SAID:
        if isinstance(cause, kind):
            return say(cause)
    return None


def _readable(reason: str | None) -> str:
    return str(reason or "no reason given").replace("_", " ").lower()


def _proxy_words(said: str) -> str:
    """Say what a proxy answered in the place of a connection."""
    if said.startswith(_AUTHENTICATION):
        return "the proxy asks for another user and password (407)"
    return f"the proxy refused it ({said})" if said else "the proxy refused it"


def _is_before_speaking(cause: BaseException) -> bool:
    """Say whether not even a first connection came about, which behind a proxy is that to it."""
    return isinstance(cause, socket.gaierror | ConnectionRefusedError | httpx.ConnectTimeout) or (
        isinstance(cause, OSError) and cause.errno in _WORDS
    )


_SAID: tuple[tuple[_Kinds, Callable[[Any], str | None]], ...] = (
    (socket.gaierror, lambda it: f"its name cannot be resolved ({it.strerror})"),
    (
        ssl.SSLCertVerificationError,
        lambda it: f"its certificate is not trusted ({it.verify_message.rstrip('.')})",
    ),
    (ssl.SSLError, lambda it: f"there is no TLS with it ({_readable(it.reason)})"),
    (httpx.ProxyError, lambda it: _proxy_words(str(it))),
    (httpx.ConnectTimeout, lambda _: "it did not take the connection in time"),
    ((TimeoutError, httpx.TimeoutException), lambda _: "it did not answer in time"),
    ((*_CUT, httpx.RemoteProtocolError, httpx.ReadError), lambda _: "the connection was cut"),
    (OSError, lambda it: _WORDS.get(it.errno)),
)
"""What each kind of cause says, the narrower kinds first."""
