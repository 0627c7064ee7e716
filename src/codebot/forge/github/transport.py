"""The connection to GitHub: time limits, a private CA, the company's proxy."""

from collections.abc import Mapping
from pathlib import Path

import httpx

from codebot.network.client import open_client
from codebot.settings.proxy import proxy_for


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
    return open_client(
        base_url=api_url,
        certificate_file=certificate_file,
        proxy=proxy_for(api_url, proxies or {}),
        timeout=httpx.Timeout(silence, connect=min(silence, 10)),
        headers={"User-Agent": "codebot"},
    )
