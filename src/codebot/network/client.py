"""HTTP clients that trust and go where the settings say, and nowhere that the environment says."""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from codebot.network.streams import SocksNetwork

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
"""Where systems have what they trust: Debian and most others, Red Hat's, Alpine, SUSE."""


def open_client(
    *,
    certificate_file: Path | None,
    proxy: str | None,
    **options: Any,  # noqa: ANN401 - httpx's own
) -> httpx.AsyncClient:
    """Give a client; `options` are those of httpx.

    `certificate_file` holds the authorities to trust instead of the usual ones, those of the way to
    the proxy too. `proxy` is an address as `settings.proxy` gives it.
    """
    trust = trust_in(certificate_file)
    socks = proxy if proxy and urlsplit(proxy).scheme.startswith("socks") else None
    client = httpx.AsyncClient(
        verify=trust,
        proxy=None if socks else _proxy(proxy, trust),
        trust_env=False,
        follow_redirects=False,
        **options,
    )
    if socks:
        pool = client._transport._pool  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
        pool._network_backend = SocksNetwork(socks, trust)  # noqa: SLF001
    return client


def trust_in(certificate_file: Path | None) -> ssl.SSLContext:
    """Give what checks certificates: by this file, else by whom this system trusts.

    Where a system has no store, as a small container, the authorities that httpx brings count. Who
    trusts the same gets the same: nothing may be changed about it.
    """
    trusted = certificate_file or system_bundle()
    if trusted is None:
        return httpx.create_ssl_context(trust_env=False)
    return _read(trusted, trusted.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(trusted: Path, last_change: int) -> ssl.SSLContext:
    """Read some hundred authorities, which takes 20 ms and a megabyte."""
    del last_change
    return ssl.create_default_context(cafile=trusted)


def system_bundle() -> Path | None:
    """Give the file with all that this system trusts, a company's own authority among it."""
    return next((Path(path) for path in SYSTEM_BUNDLES if Path(path).exists()), None)


def _proxy(address: str | None, trust: ssl.SSLContext) -> httpx.Proxy | None:
    if address is None:
        return None
    is_tls = address.startswith("https:")  # the one kind for which httpx takes a context
    return httpx.Proxy(address, ssl_context=trust if is_tls else None)
