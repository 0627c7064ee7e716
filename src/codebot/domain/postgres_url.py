"""The URL of a PostgreSQL database: whether it can be read in one way only, and what is secret.

Pure: what else there is to such a URL is for PostgreSQL's own library to know.
"""

from urllib.parse import parse_qsl, unquote

SCHEMES = ("postgresql", "postgres")

MEANT = (
    "must be postgresql://ROLE:PASSWORD@HOST:PORT/NAME, with each of @ : / ? # % in the password"
    " written as %40 %3A %2F %3F %23 %25"
)
"""Completes a sentence that begins with the setting's name."""

_SECRET = {"password", "sslpassword", "oauth_client_secret"}


def is_postgres_url(text: str) -> bool:
    """Say whether this is meant to be the URL of a PostgreSQL database.

    >>> is_postgres_url("postgresql+psycopg://db/x"), is_postgres_url("sqlite:///x")
    (True, False)
    """
    return text.partition("://")[0].partition("+")[0].lower() in SCHEMES


def is_clear(url: str) -> bool:
    """Say whether role and password can be told from the rest.

    Of a password that holds an `@` or a `/` as it is, a part would pass for the server's name, and
    be shown as that.

    >>> is_clear("postgresql://me:hunter2@db/x"), is_clear("postgresql://me:hunt/er2@db/x")
    (True, False)
    """
    scheme, _, rest = url.partition("://")
    before, mark, after = rest.partition("@")
    is_first = not mark or ("@" not in after and not set(before) & set("/?#"))
    ports = _ports(after if mark else rest)
    return scheme in SCHEMES and is_first and ports and url.isprintable() and " " not in url


def secrets_in(url: str) -> tuple[str, ...]:
    """Give what must not be shown of a URL, however wrong it is.

    >>> secrets_in("postgresql://me:p%40ss@db/x?sslpassword=x1")
    ('p%40ss', 'p@ss', 'x1')
    """
    rest = url.partition("://")[2] or url
    known, _, place = rest.rpartition("@")
    password = known.partition(":")[2]
    asked = [value for name, value in parse_qsl(place.partition("?")[2]) if name in _SECRET]
    found = (password, unquote(password), *asked)
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _ports(place: str) -> bool:
    """Say whether what stands for ports are numbers; hosts may be several, or be in brackets."""
    hosts = place.partition("/")[0].partition("?")[0].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    return all(port == "" or (port.isdecimal() and int(port) < 1 << 16) for port in ports)
