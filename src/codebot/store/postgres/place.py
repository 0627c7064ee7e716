"""Where a PostgreSQL database is: its URL as libpq reads it, and its name as people may see it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from codebot.domain.postgres_url import MEANT, is_clear
from codebot.domain.secret import Secret
from codebot.errors import ConfigError

CONNECT_SECONDS = 10

_ALIVE: Mapping[str, Any] = {
    "application_name": "codebot",
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that is gone without a word is noticed within half a minute, unless the URL says
otherwise. https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""

_BOUNDS: Mapping[str, str] = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "15s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
"""For how long the server puts up with us: who stands still, or is cut off, in a transaction must
not keep its rows from whoever takes over.
https://www.postgresql.org/docs/current/runtime-config-client.html"""

_SECRET = ("password", "sslpassword", "oauth_client_secret")


@dataclass(frozen=True, slots=True)
class Place:
    """One database of one server, and who comes in how; shown without what is secret.

    `unbounded` asks the server for no bounds on what we do: some poolers let nobody in who does.

    >>> place = Place.of("postgresql://me:hunter2@db.example/codebot")
    >>> f"{place} {place!r}"
    'codebot at db.example:5432 Place(codebot at db.example:5432)'
    """

    conninfo: Secret
    unbounded: Secret
    name: str
    server: str
    role: str
    secrets: tuple[Secret, ...]

    @classmethod
    def of(cls, url: str) -> Self:
        """Read a URL; raises `ConfigError`, which shows nothing of it: half may be a password."""
        if not is_clear(url):
            raise _no_url()
        try:
            given = {key: value for key, value in conninfo_to_dict(url).items() if value}
        except (ProgrammingError, UnicodeError):
            raise _no_url() from None
        role = str(given.get("user", ""))
        bounds = " ".join(f"-c {name}={value}" for name, value in _BOUNDS.items())
        bounded = {"options": f"{bounds} {given.get('options', '')}".rstrip()}
        return cls(
            Secret(make_conninfo(**{**_ALIVE, **given, **bounded})),
            Secret(make_conninfo(**{**_ALIVE, **given})),
            str(given.get("dbname", role)),
            _server(given),
            role,
            tuple(Secret(str(given[key])) for key in _SECRET if key in given),
        )

    def without_bounds(self) -> "Place":
        """Give the same place for a pooler that takes no bounds."""
        return replace(self, conninfo=self.unbounded)

    def mask(self, text: str) -> str:
        """Give a text of libpq's without the password."""
        for secret in self.secrets:
            text = text.replace(secret.reveal(), str(secret))
        return text

    def __str__(self) -> str:
        """Give database and server."""
        return f"{self.name} at {self.server}"

    def __repr__(self) -> str:
        """Give the same."""
        return f"Place({self})"


def _no_url() -> ConfigError:
    return ConfigError((f"CODEBOT_DATABASE_URL {MEANT}.",))


def _server(given: Mapping[str, Any]) -> str:
    """Name the server, or each of several, as host and port; a socket by its folder."""
    hosts = str(given.get("host") or given.get("hostaddr") or "localhost").split(",")
    ports = str(given.get("port", "5432")).split(",")
    each = ports * len(hosts) if len(ports) == 1 else ports
    return ", ".join(f"{host}:{port}" for host, port in zip(hosts, each, strict=False))
