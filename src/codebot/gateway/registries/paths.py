"""Paths as boxes spell them: one meaning each, or none at all."""

import re
from urllib.parse import unquote_to_bytes

LONGEST_PATH = 2000
_SLASH = re.compile(r"%2f", re.IGNORECASE)
_PLAIN = re.compile(r"[\x21-\x7e]+")


def plain_path(raw: str) -> str | None:
    """Give the one way to read a path; None when there are two, or when it climbs.

    However a client quotes, it means the same file: pip sends `%3D` where uv sends `=`. What a
    server might read once more (`%252e`) is nobody's name of anything.

    >>> plain_path("/packages/a%3Db/c.whl"), plain_path("/@types%2Fnode")
    ('/packages/a=b/c.whl', '/@types%2fnode')
    >>> plain_path("/a/../b"), plain_path("/a/%2e%2e/b"), plain_path("/a%252e"), plain_path("//a")
    (None, None, None, None)
    """
    if len(raw) > LONGEST_PATH or not raw.startswith("/"):
        return None
    pieces = [unquote_to_bytes(piece).decode("latin-1") for piece in _SLASH.split(raw)]
    if any("%" in piece or "\\" in piece or not _PLAIN.fullmatch(piece) for piece in pieces):
        return None
    path = "%2f".join(pieces)
    segments = re.split(r"/|%2f", path.removesuffix("/"))
    if any(segment in {"", ".", ".."} for segment in segments[1:]):
        return None
    return path
