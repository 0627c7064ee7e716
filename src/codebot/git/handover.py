"""What git and its children inherit by descriptor, so that it is in no argument, variable or file.

Measured with a token looked for in /proc/*/cmdline and /proc/*/environ during real fetches and
pushes: in the URL or an extra header it stands in the arguments, through GIT_ASKPASS in the
environment. A credential helper that reads an inherited pipe shows it nowhere.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from shlex import quote
from urllib.parse import urlsplit

from codebot.domain.repository import RemoteAccess
from codebot.domain.secret import Secret
from codebot.git.config_text import as_config
from codebot.git.environment import Setting

MOST_ASKED = 8
"""Git asks once per process that speaks to the remote; what is over stays in the pipe."""

HELPER = (
    '!answer() {{ [ "$1" = get ] && IFS= read -r password </dev/fd/{descriptor}'
    " && printf 'username=%s\\npassword=%s\\n' {username} \"$password\"; }}; answer"
)
"""Answers `get` alone (git also says `store` and `erase`); read and printf are built into sh."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What one call passes down: settings, variables, and the descriptors they speak of."""

    settings: tuple[Setting, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    descriptors: tuple[int, ...] = ()


@contextmanager
def hand_over(access: RemoteAccess | None) -> Iterator[Handover]:
    """Prepare what git needs to reach `access`, for as long as the block runs."""
    if access is None or (access.token is None and not access.url.startswith("/")):
        yield Handover()
        return
    if access.token is None:
        descriptor = _trusting_settings(access.url)
        handover = Handover(
            variables=(("GIT_CONFIG_GLOBAL", f"/dev/fd/{descriptor}"),), descriptors=(descriptor,)
        )
    else:
        descriptor = _filled_pipe(access.token)
        handover = Handover(
            settings=(_credential_helper(access, descriptor),), descriptors=(descriptor,)
        )
    try:
        yield handover
    finally:
        os.close(descriptor)


def _filled_pipe(token: Secret) -> int:
    """Give the reading end of a pipe with the token in it, line after line, and nobody writing.

    All of it fits into the pipe (64 KiB), so nothing blocks; who asks once too often reads an
    end of file, and git says that it has no password.
    """
    reader, writer = os.pipe()
    with open(writer, "wb") as pipe:  # noqa: PTH123 - a descriptor has no path
        pipe.write(f"{token.reveal()}\n".encode() * MOST_ASKED)
    return reader


def _credential_helper(access: RemoteAccess, descriptor: int) -> Setting:
    """Answer for the scheme, host and port of the URL, and for no other."""
    parts = urlsplit(access.url)
    helper = HELPER.format(descriptor=descriptor, username=quote(access.username))
    return (f"credential.{parts.scheme}://{parts.netloc}.helper", helper)


def _trusting_settings(folder: str) -> int:
    """Give a file of settings that lets git read a folder of another owner.

    The operator allowed the folder by name. Git removes GIT_CONFIG_COUNT from the environment of
    the process that serves a local folder, and that process is the one which checks the owner;
    the global file is what it still reads.
    """
    descriptor = os.memfd_create("gitconfig")
    trusted = [("safe.directory", path) for path in (folder, f"{folder}/.git")]
    with open(descriptor, "w", closefd=False) as file:
        file.write(as_config(trusted))
    return descriptor
