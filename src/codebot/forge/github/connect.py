"""A GitHub forge from plain values: the one place that puts its parts together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from codebot.domain.secret import Secret
from codebot.forge.github.auth import AppLogin, Login, PersonalLogin
from codebot.forge.github.client import GitHubClient
from codebot.forge.github.forge import GitHubForge
from codebot.forge.github.gate import RateGate
from codebot.forge.github.transport import open_connection
from codebot.settings.proxy import proxy_for
from codebot.telemetry.redaction import Redactor


@dataclass(frozen=True, slots=True)
class AppCredential:
    """A GitHub App: its id, its private key (PEM), and its installation where there is just one."""

    app_id: str
    private_key: Secret
    installation_id: int | None = None


@dataclass(frozen=True, slots=True)
class TokenCredential:
    """A person's access token."""

    token: Secret


def connect(
    credential: AppCredential | TokenCredential,
    *,
    api_url: str,
    web_url: str,
    now: Callable[[], datetime],
    redactor: Redactor,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    certificate_file: Path | None = None,
    proxies: Mapping[str, str] | None = None,
    silence: float = 30,
    steady: Callable[[], datetime] | None = None,
) -> GitHubForge:
    """Give the forge; nothing is sent before it is asked for something. Close it in the end.

    `silence` is how many seconds GitHub may take between two signs of life; `steady` a clock that
    nobody sets, by which its rate limits are waited for.
    """

    def new_gate() -> RateGate:
        return RateGate(now=steady or now, sleep=sleep)

    http = open_connection(
        api_url, certificate_file=certificate_file, proxies=proxies, silence=silence
    )
    client = GitHubClient(http, sleep=sleep, proxy=proxy_for(api_url, proxies or {}))
    login: Login
    if isinstance(credential, TokenCredential):
        login = PersonalLogin(client, token=credential.token, gate=new_gate())
    else:
        login = AppLogin(
            client,
            app_id=credential.app_id,
            private_key=credential.private_key,
            installation_id=credential.installation_id,
            new_gate=new_gate,
            now=now,
            redactor=redactor,
        )
    return GitHubForge(client, login, web_url=web_url, now=now, sleep=sleep)
