"""Which repository a submodule's address means: one of this forge, or none."""

import os
import re
from dataclasses import replace

from codebot.domain.repository import ForgeKind, Repository, Source
from codebot.errors import InvalidTask
from codebot.intake.repository_url import RepositoryRules, parse_repository_url

_RELATIVE = ("./", "../")
_PORTS = {
    "ssh": "22",
    "git+ssh": "22",
    "ssh+git": "22",
    "git": "9418",
    "https": "443",
    "http": "80",
}
_USER = r"(?:[A-Za-z0-9][A-Za-z0-9._:-]*@)?"
_HOST = r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*)"
_SPELLINGS = (
    re.compile(
        rf"(?P<scheme>[A-Za-z+]+)://{_USER}{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/+(?P<path>[^?#]+)"
    ),
    re.compile(rf"{_USER}{_HOST}:/*(?P<path>[^/?#:][^?#]*)(?P<scheme>)(?P<port>)"),  # as for scp
)


def find_source(url: str, parent: Repository, rules: RepositoryRules) -> Source | None:
    """Give the repository that `url` means in a `.gitmodules` of `parent`; None for any other.

    A relative address goes on from the parent's own. The forge's credential is for what tasks may
    name, too: what lies outside of `CODEBOT_REPOSITORIES` is read as anybody could.

    >>> rules = RepositoryRules(github_host="github.com")
    >>> app = parse_repository_url("https://github.com/acme/app", rules)
    >>> find_source("../lib.git", app, rules).repository.url
    'https://github.com/acme/lib.git'
    >>> find_source("ext::sh -c id", app, rules) is None
    True
    """
    address = _joined(url, parent) if url.startswith(_RELATIVE) else _respelled(url, rules)
    if address is None or address.startswith("/") != (parent.forge is ForgeKind.LOCAL):
        return None
    try:
        found = parse_repository_url(address, replace(rules, allowed_patterns=()))
    except InvalidTask:
        return None
    return Source(found, uses_credential=_may_be_named(address, rules))


def _joined(url: str, parent: Repository) -> str | None:
    """Go on from the parent's address, as far as its host allows."""
    if parent.path is not None:
        return os.path.normpath(parent.path / url)
    parts = [parent.owner, parent.name]
    for part in url.split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return f"{parent.url.partition('://')[0]}://{parent.host}/{'/'.join(parts)}"


def _respelled(url: str, rules: RepositoryRules) -> str:
    """Write what means a repository of our GitHub, by whatever protocol, as its own address.

    Who is to be logged in there is nothing to us. A port other than the protocol's leads elsewhere.
    """
    match = next(filter(None, (spelling.fullmatch(url) for spelling in _SPELLINGS)), None)
    ours = (rules.github_host or "").lower().partition(":")[0]
    if match is None or match["host"].lower() != ours:
        return url
    if match["port"] and _PORTS.get(match["scheme"].lower()) != match["port"]:
        return url
    if match["scheme"] and match["scheme"].lower() not in _PORTS:
        return url
    return f"{rules.scheme}://{rules.github_host}/{match['path']}"


def _may_be_named(address: str, rules: RepositoryRules) -> bool:
    try:
        parse_repository_url(address, rules)
    except InvalidTask:
        return False
    return True
