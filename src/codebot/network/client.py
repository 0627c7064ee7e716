"""HTTP clients that trust and go where the settings say, and nowhere that the environment says."""

import ssl
from pathlib import Path
from typing import Any

import httpx


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
    return httpx.AsyncClient(
        verify=trust, proxy=_proxy(proxy, trust), trust_env=False, follow_redirects=False, **options
    )


def trust_in(certificate_file: Path | None) -> ssl.SSLContext:
    """Give what checks certificates, by this file or by the authorities that httpx brings."""
    if certificate_file is None:
        return httpx.create_ssl_context(trust_env=False)
    return ssl.create_default_context(cafile=certificate_file)


def _proxy(address: str | None, trust: ssl.SSLContext) -> httpx.Proxy | None:
    if address is None:
        return None
    is_tls = address.startswith("https:")  # the one kind for which httpx takes a context
    return httpx.Proxy(address, ssl_context=trust if is_tls else None)
