"""Which repositories a task may name: the one parser of everything that looks like a Git URL.

What goes on is never the caller's text but a URL rebuilt from its checked parts.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from codebot.domain.repository import ForgeKind, Repository
from codebot.errors import FieldProblem, InvalidTask
from codebot.intake.git_folder import find_git_folders, resolved

LOCAL_HOST = "localhost"
_LONGEST_URL = 4096
_DEFAULT_PORTS = {"https": "443", "http": "80"}

# GitHub's own rules; `_` stands in the logins of enterprise-managed users.
_OWNER = r"(?P<owner>[A-Za-z0-9][A-Za-z0-9_-]{0,38})"
_NAME = r"(?P<name>[A-Za-z0-9._-]{1,100}?)(?:\.git)?"
_HOST = r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:]{2,39}\])"
_WEB = re.compile(
    rf"(?P<scheme>(?i:https?))://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/{_OWNER}/{_NAME}/?"
)
_SCP = re.compile(rf"git@{_HOST}:{_OWNER}/{_NAME}")


ANYWHERE = Path("/")


@dataclass(frozen=True, slots=True)
class RepositoryRules:
    """What tasks may name.

    `github_host` is `HOST` or `HOST:PORT` of the one GitHub of this service, None without one.
    `allowed_patterns` are `owner/name` with `*` and `?`, empty for all of it. `local_roots` are
    the folders below which local repositories may be used. `insecure_loopback` says that the
    GitHub speaks plain HTTP; it counts only where its host is a loopback address.
    """

    github_host: str | None
    allowed_patterns: tuple[str, ...] = ()
    local_roots: tuple[Path, ...] = ()
    insecure_loopback: bool = False

    @property
    def scheme(self) -> str:
        """How the GitHub is spoken to: `https`, or `http` on loopback only."""
        host = _split_port(self.github_host or "")[0]
        return "http" if self.insecure_loopback and is_loopback(host) else "https"

    @property
    def accepted(self) -> str:
        """Say what would be accepted, for the message of every refusal."""
        forms = ", or ".join(self._accepted_forms())
        return f"accepted: {forms or 'nothing, since no GitHub and no local folder is set up'}"

    def _accepted_forms(self) -> Iterator[str]:
        if self.github_host is not None:
            hostname = _split_port(self.github_host)[0]
            yield f"{self.scheme}://{self.github_host}/OWNER/REPO"
            yield f"git@{hostname}:OWNER/REPO"
        for root in self.local_roots:
            yield "the path of a Git repository" + (f" below {root}" if root != ANYWHERE else "")


def parse_repository_url(text: str, rules: RepositoryRules) -> Repository:
    """Give the repository that a caller means; raises `InvalidTask` naming `repository_url`.

    >>> rules = RepositoryRules(github_host="github.com")
    >>> parse_repository_url("git@GitHub.com:pallets/flask", rules).url
    'https://github.com/pallets/flask.git'
    """
    if len(text) > _LONGEST_URL or not text.isprintable():
        raise _refusal("is too long or holds characters that no address has", rules)
    if text.startswith("/"):
        return _local_repository(text, rules)
    return _github_repository(text, rules)


@lru_cache(16)  # asked for the same host at every submit
def is_loopback(host: str) -> bool:
    """Say whether a host, without its port, is this very machine.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("127.0.0.1.evil.com")
    (True, True, False)
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _github_repository(text: str, rules: RepositoryRules) -> Repository:
    match = _WEB.fullmatch(text) or _SCP.fullmatch(text)
    if match is None:
        raise _refusal("is not the address of a repository", rules)
    if rules.github_host is None:
        raise _refusal("needs a GitHub, and none is set up here: GITHUB_TOKEN, or an App", rules)
    parts = match.groupdict()
    if not _is_our_github(parts, rules.github_host, rules.scheme):
        raise _refusal("does not name this service's GitHub", rules)
    owner, name = parts["owner"], parts["name"]
    if name in {".", ".."} or name.lower().endswith(".git"):
        raise _refusal("does not name a repository", rules)
    if not _is_allowed(f"{owner}/{name}", rules.allowed_patterns):
        allowed = ", ".join(rules.allowed_patterns)
        raise _refusal(f"names a repository outside of those allowed here: {allowed}", rules)
    host = _without_default_port(rules.github_host.lower(), rules.scheme)
    url = f"{rules.scheme}://{host}/{owner}/{name}.git"
    return Repository(ForgeKind.GITHUB, host, owner, name, url)


def _is_our_github(parts: dict[str, str | None], github_host: str, scheme: str) -> bool:
    """Compare host, scheme and port; `git@HOST:` carries neither of the last two."""
    hostname, port = _split_port(github_host)
    if (parts["host"] or "").lower() != hostname.lower():
        return False
    if "scheme" not in parts:
        return True
    default = _DEFAULT_PORTS[scheme]
    return (parts["scheme"] or "").lower() == scheme and (parts["port"] or default) == (
        port or default
    )


def _is_allowed(full_name: str, patterns: tuple[str, ...]) -> bool:
    """GitHub's names know no case, so neither do the patterns."""
    folded = full_name.lower()
    return not patterns or any(fnmatchcase(folded, pattern.lower()) for pattern in patterns)


def _split_port(host: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*?)(?::([0-9]+))?", host)
    return (match[1], match[2] or "") if match else (host, "")


def _without_default_port(host: str, scheme: str) -> str:
    return host.removesuffix(f":{_DEFAULT_PORTS[scheme]}")


def _local_repository(text: str, rules: RepositoryRules) -> Repository:
    if not rules.local_roots:
        raise _refusal("is a path, and none is allowed here: CODEBOT_LOCAL_REPOS is not set", rules)
    path = resolved(Path(text))
    roots = [root for root in map(resolved, rules.local_roots) if root]
    if path is None or not _is_below(path, roots):
        raise _refusal(_absence(text, rules), rules)
    folders = find_git_folders(path)
    if not folders:
        raise _refusal(f"is not a Git repository: {_lack(path, roots)}", rules)
    for folder in folders:
        if not _is_below(folder, roots):
            raise _refusal(f"has its Git in {folder}, which is not allowed here", rules)
    # Two folders of one name must not share a mirror: the path tells their owners apart.
    owner = f"local-{hashlib.sha256(bytes(path)).hexdigest()[:8]}"
    name = path.name.removesuffix(".git") or path.name
    return Repository(ForgeKind.LOCAL, LOCAL_HOST, owner, name, str(path), path)


def _absence(text: str, rules: RepositoryRules) -> str:
    """Say that a folder cannot be had: by its name only to who may ask for every folder."""
    if ANYWHERE in rules.local_roots:
        return f"is not there, or cannot be read: {text}"
    return "is not there, or not below a folder that is allowed here"


def _lack(path: Path, roots: list[Path]) -> str:
    """Say what a folder lacks to be a repository, or of which one it is a part."""
    if os.path.lexists(path / ".git"):
        return "its `.git` leads to none (a linked worktree or submodule that was moved?)"
    above = (parent for parent in path.parents if _is_below(parent, roots))
    whole = next((parent for parent in above if find_git_folders(parent)), None)
    if whole is not None:
        return f"it is a folder within one; name {whole}"
    return "it is neither bare nor has a `.git`"


def _is_below(path: Path, roots: list[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _refusal(what: str, rules: RepositoryRules) -> InvalidTask:
    return InvalidTask((FieldProblem("repository_url", f"{what}; {rules.accepted}"),))
