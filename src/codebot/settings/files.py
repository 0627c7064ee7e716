"""Files that hold a secret, and secrets that stand where the path of their file should."""

import re
from pathlib import Path

from codebot.settings.private_key import looks_like_key
from codebot.telemetry.token_shapes import mask_tokens

LARGEST = 64 * 1024

_LONGEST_NAME = 255
_SHORTEST_SECRET = 16
_ONE_WORD = re.compile(r"(?=[^0-9]*[0-9])(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9+=_-]{32,}")
"""Letters of both kinds and digits, in one long piece."""


class NotReadable(ValueError):
    """A file of a secret gives none; the text completes "NAME ..." and shows no secret."""


def read_secret_file(path: str, folder: Path, by_value: str) -> str:
    """Give the text of the file that a setting names, seen from `folder`; raises `NotReadable`.

    What names no file may be the secret itself, so a path is shown only when something is there.
    `by_value` is the setting that takes the secret.
    """
    try:
        file = folder / Path(path).expanduser()
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            text = stream.read(LARGEST).strip()
    except (OSError, ValueError, RuntimeError) as exc:  # NUL in the name; nobody's `~name`
        raise NotReadable(_unreadable(path, folder, by_value, type(exc).__name__)) from None
    if not text:
        raise NotReadable(f"names {path}, which is empty.")
    return text


def looks_like_secret(text: str) -> bool:
    """Say whether a text is rather a secret than the path of a file.

    >>> looks_like_secret("0123456789abcdef0123456789abcdef"), looks_like_secret("run/token")
    (True, False)
    """
    return (
        not text.isprintable()
        or any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in text.split("/"))
        or mask_tokens(text) != text
        or looks_like_key(text)
        or (len(text) >= _SHORTEST_SECRET and not set(text) & set("/.~"))
    )


def is_telling(name: str) -> bool:
    """Say whether a name, or a whole path, is nothing that anybody would call a file or folder.

    >>> is_telling("repositories-of-the-company"), is_telling("Zx81mQhT7pLwE94vRk" * 2)
    (False, True)
    """
    return (
        mask_tokens(name) != name or looks_like_key(name) or _ONE_WORD.fullmatch(name) is not None
    )


def _unreadable(path: str, folder: Path, by_value: str, reason: str) -> str:
    if _is_there(path, folder):
        return f"names {path}, which cannot be read ({reason})."
    if looks_like_secret(path):
        kind = "key" if "KEY" in by_value else "secret"
        return f"looks like the {kind} itself; write it to a file, or use {by_value}."
    return f"names a file that cannot be read ({reason})."


def _is_there(path: str, folder: Path) -> bool:
    try:
        return (folder / Path(path).expanduser()).exists()
    except (OSError, ValueError, RuntimeError):
        return False
