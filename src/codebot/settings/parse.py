"""How the text of one setting becomes a value: pure functions that raise `ValueError`.

The message of the error completes the sentence "NAME ...", and never holds the text itself:
that may be a secret in the wrong place. Only what raises `NotPlain` can be shown.
"""

import ipaddress
import math
import re
import shlex
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from codebot.domain.postgres_url import MEANT, is_clear, is_postgres_url
from codebot.domain.secret import Secret
from codebot.settings.private_key import NO_KEY, is_private_key, private_key_text

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_PATTERN = re.compile(r"[\w.*-]+/[\w.*-]+")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_DNS_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})+")
_APP_ID = re.compile(r"[A-Za-z0-9.]+")


class NotPlain(ValueError):
    """A text is not the number or word that a setting takes, which are no place for a secret."""


def text(value: str) -> str:
    """Take any text of one line."""
    if not value.isprintable():
        raise ValueError("must not hold control characters")
    return value


def secret(value: str) -> Secret:
    """Take a credential: what a header can carry, in one piece."""
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError("must be printable ASCII without spaces")
    return Secret(value)


def private_key(value: str) -> Secret:
    """Take an RSA private key in whatever form a variable or a file holds it; give its PEM."""
    pem = private_key_text(value)
    if not is_private_key(pem.encode()):
        raise ValueError(NO_KEY)
    return Secret(pem)


def integer(low: int, high: int) -> Callable[[str], int]:
    """Take a whole number within bounds."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise NotPlain(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Take a decimal number within bounds.

    >>> number(0, 10)("2.5")
    2.5
    """

    def parse(value: str) -> float:
        try:
            given = float(value)
        except ValueError:
            given = math.nan
        if not low <= given <= high:
            raise NotPlain(f"must be a number from {low:.12g} to {high:.12g}")
        return given

    return parse


def seconds(low: float, high: float) -> Callable[[str], timedelta]:
    """Take a length of time in seconds, within bounds."""
    parse_number = number(low, high)

    def parse(value: str) -> timedelta:
        try:
            return timedelta(seconds=parse_number(value))
        except ValueError:
            raise NotPlain(f"must be a number of seconds from {low:.12g} to {high:.12g}") from None

    return parse


def switch(value: str) -> bool:
    """Take on or off, in the usual words."""
    words = {"on": True, "true": True, "yes": True, "1": True}
    words |= {"off": False, "false": False, "no": False, "0": False}
    if value.lower() not in words:
        raise NotPlain("must be on or off")
    return words[value.lower()]


def one_of(kind: type[E]) -> Callable[[str], E]:
    """Take one of the words of an enumeration."""

    def parse(value: str) -> E:
        try:
            return kind(value.lower())
        except ValueError:
            raise NotPlain(f"must be one of {', '.join(kind)}") from None

    return parse


def built(*now: str, later: tuple[str, ...]) -> Callable[[str], str]:
    """Take one of the words that work now; say of the others that they are not built yet."""

    def parse(value: str) -> str:
        if value in later:
            raise NotPlain(f"names {value}, which is not built yet; use {' or '.join(now)}")
        if value not in now:
            raise NotPlain(f"must be one of {', '.join(now)}")
        return value

    return parse


def listed(parse_one: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Take several values separated by commas (in a file also by line ends), each one once.

    >>> listed(text)("a, b,a")
    ('a', 'b')
    """

    def parse(value: str) -> tuple[T, ...]:
        entries = [entry.strip() for entry in re.split(r"[,\n]", value)]
        if not all(entries):
            raise ValueError("has a blank entry between its commas")
        return tuple(dict.fromkeys(parse_one(entry) for entry in entries))

    return parse


def repository_pattern(value: str) -> str:
    """Take `owner/name`, where `*` stands for any run of characters."""
    if not _PATTERN.fullmatch(value):
        raise ValueError("must be patterns like owner/name or owner/*")
    return value


def host(value: str) -> str:
    """Take an address or a host name to bind to; an IPv6 address also in a URL's brackets.

    >>> host("[::1]")
    '::1'
    """
    if not _HOST.fullmatch(value):
        raise ValueError("must be an IP address or a host name")
    return value.removeprefix("[").removesuffix("]")


def egress_host(value: str) -> str:
    """Take the full name of a host, in lower case: no address, no port, no pattern.

    >>> egress_host("Files.Example.com")
    'files.example.com'
    """
    name = value.lower()
    if not _DNS_NAME.fullmatch(name) or len(name) > 253 or name.rpartition(".")[2].isdigit():  # noqa: PLR2004 - DNS
        raise ValueError("must be full host names like files.example.com, without port or wildcard")
    return name


ECOSYSTEMS = ("python", "npm", "go", "rust", "java", "ruby", "dotnet", "php", "elixir")
"""The names of the table of registries, which a test holds against it."""


def registry(value: str) -> str:
    """Take the name of an ecosystem, or the address of one more registry.

    >>> registry("Python"), registry("https://repo.example/maven/")
    ('python', 'https://repo.example/maven')
    """
    if "://" not in value:
        if value.lower() not in ECOSYSTEMS:
            raise ValueError(f"must name {', '.join(ECOSYSTEMS)}, or addresses of https")
        return value.lower()
    parts = urlsplit(value)
    egress_host(parts.hostname or "")
    if parts.scheme != "https" or parts.username or parts.query or parts.fragment:
        raise ValueError("must be addresses of https, without a password or a query")
    return value.rstrip("/")


def network(value: str) -> str:
    """Take a network of IP addresses.

    >>> network("10.1.0.0/16"), network("192.0.2.7")
    ('10.1.0.0/16', '192.0.2.7/32')
    """
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("must be networks like 10.0.0.0/8") from None


def protected_path(value: str) -> str:
    """Take a path or pattern below the top of a repository, as git's `glob` pathspecs have it."""
    if not value.isprintable() or value.startswith(("/", ":", "!")) or ".." in value.split("/"):
        raise ValueError("must be paths below the top of a repository, like .github/workflows/**")
    return value


def app_id(value: str) -> str:
    """Take the id of a GitHub App, or its client id (GitHub accepts either)."""
    if not _APP_ID.fullmatch(value):
        raise ValueError("must be the App's id or client id")
    return value


def url(value: str) -> str:
    """Take an http(s) address without credentials; give it without a trailing slash."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or not value.isprintable() or re.search(r"[\s@?#]", value):
        raise ValueError("must be a plain address like https://HOST[:PORT][/PATH]")
    return value.rstrip("/")


def model_endpoint(value: str) -> str | Path:
    """Take the address of the model's API, or `scripted:/path/to/turns.json`.

    >>> model_endpoint("scripted:/tmp/turns.json")
    PosixPath('/tmp/turns.json')
    """
    if not value.startswith("scripted:"):
        return url(value)
    script = Path(value.removeprefix("scripted:"))
    if not script.is_absolute():
        raise ValueError("must name its script by an absolute path: scripted:/path/to/turns.json")
    return script


def agent(value: str) -> tuple[str, ...]:
    """Take `claude` (an empty command), or `command:` and a command line.

    >>> agent("claude"), agent("command:my-agent --fast 'a b'")
    ((), ('my-agent', '--fast', 'a b'))
    """
    if value == "claude":
        return ()
    try:
        argv = shlex.split(value.removeprefix("command:"))
    except ValueError:
        argv = []
    if not value.startswith("command:") or not argv:
        raise ValueError("must be claude, or command: followed by a command line")
    return tuple(argv)


def database(value: str) -> Path | Secret:
    """Take `sqlite:///PATH` (a fourth slash for an absolute one), or a URL of PostgreSQL."""
    if is_postgres_url(value):
        if not is_clear(value):
            raise ValueError(MEANT)
        return Secret(value)
    scheme, _, rest = value.partition("://")
    file = rest.removeprefix("/")
    if scheme != "sqlite" or file == rest or file in {"", ":memory:"} or "?" in file:
        raise ValueError("must be sqlite:///PATH, or postgresql://ROLE:PASSWORD@HOST:PORT/NAME")
    return Path(file)


def postgres(value: str) -> Secret:
    """Take a URL of PostgreSQL."""
    if not is_clear(value):
        raise ValueError(MEANT)
    return Secret(value)


def path(value: str) -> Path:
    """Take a path; `~` is the home directory."""
    try:
        return Path(text(value)).expanduser()
    except RuntimeError:
        raise ValueError("names the home directory of a user who is not there") from None
