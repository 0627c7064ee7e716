"""Proxies: how their addresses are read, and which one leads where.

The programs that must agree here do not: curl takes an address without a scheme and httpx does not,
each has its own reading of NO_PROXY, and a `#` in a password ends the address for some. So every
address is read here, once, and handed on in the one form that all of them read alike.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit

SCHEMES = {"http": 80, "https": 443, "socks5h": 1080}
_SAME = {"socks5": "socks5h", "socks": "socks5h"}
"""The proxy resolves names for all of them: httpx knows no other way."""

_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:/?#\[\]]+)(?::(?P<port>[0-9]{1,5}))?(?:/.*)?")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENTRY = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT = 65535


def proxy_address(value: str) -> str:
    """Give a proxy's address as every program reads it; raises `ValueError`, which shows nothing.

    Without a scheme it is http, as for curl. A password may hold anything but white space, also
    what has a meaning in addresses; what is percent-encoded already stays so.

    >>> proxy_address("me:p#@ss@proxy.corp:3128"), proxy_address("socks5://[::1]")
    ('http://me:p%23%40ss@proxy.corp:3128', 'socks5h://[::1]:1080')
    """
    scheme, rest = _split_scheme(value)
    known, _, place = rest.rpartition("@")
    found = _PLACE.fullmatch(place)
    if scheme not in SCHEMES or found is None or re.search(r"\s", value) or not value.isprintable():
        raise ValueError(_PROBLEM)
    port = int(found["port"] or SCHEMES[scheme])
    if not 0 < port <= _HIGHEST_PORT:
        raise ValueError("names a port that is none (they go from 1 to 65535)")
    return f"{scheme}://{_encoded(known)}{_host(found['host'])}:{port}"


def credentials_in(value: str) -> tuple[str, ...]:
    """Give what must not be shown of a proxy's address, however wrong it is.

    >>> credentials_in("http//me:p%40ss@proxy:x")
    ('p%40ss', 'p@ss')
    """
    known = _split_scheme(value)[1].rpartition("@")[0]
    user, _, password = known.rpartition("/")[2].partition(":")
    secret = password or user
    return tuple(dict.fromkeys(text for text in (secret, unquote(secret)) if text))


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """Give the proxy that this address is reached through, or None.

    `proxies` holds HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as far as they are set.

    >>> proxies = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".corp.example, 10.0.0.0/8"}
    >>> proxy_for("https://api.github.com", proxies)
    'http://proxy:3128'
    >>> proxy_for("https://github.corp.example/api/v3", proxies) is None
    True
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or SCHEMES.get(parts.scheme, 0)
    entries = re.split(r"[\s,]+", proxies.get("NO_PROXY", ""))
    if any(_covers(entry.lower(), host, port) for entry in entries if entry):
        return None
    return proxies.get(f"{parts.scheme.upper()}_PROXY") or None


_PROBLEM = (
    "must be the address of a proxy, like http://HOST:PORT (http, https or socks5; an IPv6 address"
    " in brackets)"
)


def _split_scheme(value: str) -> tuple[str, str]:
    """Part the scheme from the rest; a password may hold `://`, but not a scheme."""
    scheme, mark, rest = value.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return "http", value.removeprefix("//")
    return _SAME.get(scheme.lower(), scheme.lower()), rest


def _host(given: str) -> str:
    if given.startswith("["):
        return f"[{IPv6Address(given[1:-1])}]" if _is_ipv6(given[1:-1]) else _fail()
    return given if _NAME.fullmatch(given) else _fail()


def _fail() -> str:
    raise ValueError(_PROBLEM)


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


def _encoded(known: str) -> str:
    """Give user and password for an address, "" where there are none."""
    if not known:
        return ""
    parts = (unquote(_STRAY_PERCENT.sub("%25", part)) for part in known.split(":", 1))
    return ":".join(quote(part, safe="") for part in parts) + "@"


def _covers(entry: str, host: str, port: int) -> bool:
    """Say whether a NO_PROXY entry means this host: itself, what it is in, or `*`.

    Entries are names (of a host, or of all below it), addresses and networks, with or without port.
    """
    found = _ENTRY.fullmatch(entry)  # none for an IPv6 address without brackets
    if found and found["port"] and int(found["port"]) != port:
        return False
    name = (found["name"] if found else entry).strip("[]")
    if name == "*":
        return True
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        domain = name.removeprefix("*").strip(".")
        return domain != "" and (host == domain or host.endswith(f".{domain}"))
