"""The connection to GitHub: time limits, a private CA, the company's proxy."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx


def open_connection(
    api_url: str,
    *,
    certificate_file: Path | None = None,
    proxies: Mapping[str, str] | None = None,
    silence: float = 30,
) -> httpx.AsyncClient:
    """Give an HTTP client for this one host; nothing is taken from the environment.

    `proxies` are the values of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` under these names.
    `silence` is how many seconds may pass between two signs of life.
    """
    verify: ssl.SSLContext | bool = True
    if certificate_file is not None:
        verify = ssl.create_default_context(cafile=str(certificate_file))
    return httpx.AsyncClient(
        base_url=api_url,
        verify=verify,
        proxy=proxy_for(api_url, proxies or {}),
        timeout=httpx.Timeout(silence, connect=min(silence, 10)),
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": "codebot"},
    )


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """Give the proxy that this address is reached through, or None.

    >>> proxies = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".corp.example"}
    >>> proxy_for("https://api.github.com", proxies)
    'http://proxy:3128'
    >>> proxy_for("https://github.corp.example/api/v3", proxies) is None
    True
    """
    parsed = httpx.URL(url)
    if any(_covers(entry.strip(), parsed.host) for entry in proxies.get("NO_PROXY", "").split(",")):
        return None
    return proxies.get(f"{parsed.scheme.upper()}_PROXY") or None


def _covers(entry: str, host: str) -> bool:
    """Say whether a NO_PROXY entry means this host: itself, a domain it is in, or `*`."""
    domain = entry.partition(":")[0].lower().removeprefix("*").removeprefix(".")
    return entry == "*" or (domain != "" and (host == domain or host.endswith(f".{domain}")))
