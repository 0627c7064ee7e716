"""What a recipe may ask for, whoever wrote it: paths inside, variables that are not ours. Pure."""

import re
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_HOST = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")
_OURS = (
    (r"PATH", "use `bin` for folders that come first on PATH"),
    (r"HOME|USER|LOGNAME|SHELL|PWD|TMPDIR", "it is the box's own"),
    (r"(?i:\w+_proxy)", "the way out of the box is the service's"),
    (
        r"SSL_CERT_\w+|\w+_CA_BUNDLE|PIP_CERT|\w+_CAINFO|NODE_(?:EXTRA_CA|TLS)_\w+|GIT_SSL_\w+",
        "whom the box trusts is the service's",
    ),
    (r"LD_PRELOAD|LD_AUDIT|BASH_ENV|ENV|SHELLOPTS|BASHOPTS|PS4", "it would change every program"),
    (r"ANTHROPIC_\w+|CLAUDE\w*|CODEBOT_\w+", "it is the service's"),
)
LONGEST_VALUE = 32 * 1024
LONGEST_ARGUMENT = 128 * 1024 - 1
"""Bytes: Linux starts no program with a longer one, `MAX_ARG_STRLEN`."""


def is_within(path: str) -> bool:
    """Say whether a path stays inside of the tree that it is seen from.

    >>> [is_within(path) for path in ("api", "./a/b/", "", "../a", "a/../../b", "/etc", "~/x")]
    [True, True, True, False, False, False, False]
    """
    inside = not path.startswith(("/", "~")) and ".." not in path.split("/")
    return inside and path.isprintable() and "\\" not in path


def is_variable(name: str, value: Any) -> bool:  # noqa: ANN401 - of a stranger's file
    """Say whether this can be a variable at all."""
    return (
        _NAME.fullmatch(name) is not None
        and isinstance(value, str)
        and is_argument(value, LONGEST_VALUE)
    )


def is_argument(text: str, longest: int = LONGEST_ARGUMENT) -> bool:
    r"""Say whether a text can be handed to a program, in at most so many bytes.

    JSON and YAML can spell what no program can be started with: a NUL, half a character.

    >>> [is_argument(text) for text in ("npm ci", "a\0b", "\ud800", "\u20ac" * 50_000)]
    [True, False, False, False]
    """
    try:
        size = len(text.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        return False
    return size <= longest and "\0" not in text


def owner_of(name: str) -> str:
    """Say why a recipe may not set a variable, "" where it may.

    >>> owner_of("https_proxy"), owner_of("DATABASE_URL")
    ("the way out of the box is the service's", '')
    """
    return next((why for pattern, why in _OURS if re.fullmatch(pattern, name)), "")


def is_egress_host(name: str) -> bool:
    """Say whether this is the full name of a host, in lower case, without port or wildcard."""
    return _HOST.fullmatch(name) is not None
