"""What a git process of the service sees: an environment built from nothing.

Everything that could make git run a program, ask a person, or read somebody's settings is
overridden here, for every call alike (https://git-scm.com/docs/git#_environment_variables).
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from codebot.domain.repository import RemoteAccess
from codebot.errors import GitFailed
from codebot.settings.proxy import proxy_for

Setting = tuple[str, str]

SETTINGS: tuple[Setting, ...] = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.sshCommand", "/bin/false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.bigFileThreshold", "16m"),  # larger blobs are streamed, never diffed in memory
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("transfer.fsckObjects", "true"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("commit.gpgSign", "false"),
    ("push.gpgSign", "false"),
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1000"),  # bytes a second: slower than this for
    ("http.lowSpeedTime", "60"),  # so many seconds is a dead connection
    ("credential.helper", ""),  # empties the list: nobody else is asked
)


def environment(
    home: Path,
    *,
    settings: Iterable[Setting],
    access: RemoteAccess | None,
    certificate_file: Path | None,
    proxies: Mapping[str, str],
) -> dict[str, str]:
    """Give the whole environment of one git process; `settings` come after the fixed ones.

    Without `access` no protocol at all is allowed, with it only that of its URL.
    """
    network = {} if access is None else _way(access.url, proxies)
    if certificate_file is not None:
        for name in ("GIT_SSL_CAINFO", "GIT_PROXY_SSL_CAINFO"):
            network[name] = str(certificate_file)
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": "none" if access is None else protocol_of(access.url),
        "GIT_CEILING_DIRECTORIES": str(home.parent),
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        **network,
        **numbered([*SETTINGS, *settings]),
    }


def _way(url: str, proxies: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that name the proxy, in the small letters that curl reads for all."""
    proxy = proxy_for(url, proxies)
    return {} if proxy is None else dict.fromkeys(("https_proxy", "http_proxy"), proxy)


def protocol_of(url: str) -> str:
    """Say which protocol a URL of ours needs; raises `GitFailed` for any other.

    >>> protocol_of("https://github.com/o/r.git"), protocol_of("/srv/repo")
    ('https', 'file')
    """
    parts = urlsplit(url)
    if url.startswith("/"):
        return "file"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts)):
        return parts.scheme
    raise GitFailed(
        f"Git may not speak to {url}.", hint="Use https, or http on this machine itself."
    )


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def numbered(settings: Sequence[Setting]) -> dict[str, str]:
    """Write settings as git reads them from the environment; no file, no argument."""
    numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        numbered[f"GIT_CONFIG_KEY_{number}"] = key
        numbered[f"GIT_CONFIG_VALUE_{number}"] = value
    return numbered
