"""What git's own words mean, read once: git has no exit codes for it, only text (in LC_ALL=C)."""

import re
from enum import Enum


class Trouble(Enum):
    """A kind of failure that the service answers in its own way."""

    TIMED_OUT = "timed_out"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    MOVED = "moved"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    DISK_FULL = "disk_full"
    NO_SUCH_REF = "no_such_ref"
    REFUSED = "refused"
    """The server understood, and says no in words of its own."""
    BROKEN_THERE = "broken_there"
    """Objects are missing or damaged where they are fetched from."""
    PARTIAL = "partial"
    """What is fetched from is a partial clone, and lacks objects that another one has."""
    FLAWED = "flawed"
    """An object that came does not pass git's check."""
    DAMAGED = "damaged"
    """Our own copy of the repository is broken."""
    LOCKED = "locked"
    """A lock is in the way: of another git, or of one that was killed."""


_NOISE = re.compile(r"^warning: Skipping unknown msg id .*\n?", re.MULTILINE)
"""What a git says of a check that only another one knows."""

_LINE_END = re.compile(r"[ \t]+$", re.MULTILINE)
_HTTP_STATUS = re.compile(r"(?:returned error: |RPC failed; HTTP )([0-9]{3})")

_REMOTE_WORDS = re.compile(r"^remote:.*$", re.MULTILINE)
_BROKEN_THERE = re.compile(r"possible repository corruption on the remote side")
"""Git's own words at the other end, which it sends over before it gives up."""

_PARTIAL = re.compile(r"from promisor remote|lazy fetching disabled")
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")

_SIGNS: tuple[tuple[Trouble, str], ...] = (
    (
        Trouble.UNAUTHORIZED,
        r"Authentication failed for|could not read (?:Username|Password)",
    ),
    (Trouble.UNTRUSTED, r"[Cc]ertificate|SSL peer|CAfile|CRLfile"),
    (
        Trouble.NOT_FOUND,
        r"repository '[^\n]*' (?:not found|does not exist)|does not appear to be a git repository",
    ),
    (Trouble.MOVED, r"unable to update url base from redirection"),
    (Trouble.NO_SUCH_REF, r"couldn't find remote ref"),
    (Trouble.BROKEN_THERE, r"not our ref"),
    (Trouble.REFUSED, r"^fatal: remote error:"),
    (Trouble.FLAWED, r"fsck error in pack"),
    (Trouble.LOCKED, r"\.lock': File exists"),
    (
        Trouble.BROKEN_THERE,  # what came cannot be unpacked
        (
            r"error: inflate[^\n]*\n(?:[^\n]*\n)*?fatal: (?:unpack-objects|index-pack) failed"
            r"|fatal: pack (?:has bad object|is corrupted|signature mismatch)"
        ),
    ),
    (
        Trouble.DAMAGED,
        (
            r"not a git repository|is (?:empty|corrupt)|missing (?:blob|tree|commit|object)"
            r"|unable to read tree|bad (?:object|pack(?! header))|loose object|invalid sha1 pointer"
            r"|point to a valid object"
        ),
    ),
    (
        Trouble.UNREACHABLE,
        (
            r"unable to access|Could not resolve|Failed to connect|Couldn't connect|curl [0-9]+ "
            r"|Connection (?:reset|timed out|refused)|Empty reply from server|hung up unexpectedly"
            r"|early EOF|Operation too slow|transfer closed|unexpected disconnect|bad line length"
            r"|invalid server response|not valid: is this a git repository|protocol error"
        ),
    ),
)

_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_MISSING = frozenset({404, 410})
_FIRST_REDIRECT, _FIRST_FAULT = 300, 500


def trouble_in(stderr: str) -> Trouble | None:
    """Say what went wrong, as far as it matters to anybody; None for everything else.

    >>> trouble_in("fatal: unable to access 'u': The requested URL returned error: 503")
    <Trouble.UNREACHABLE: 'unreachable'>
    >>> trouble_in("fatal: bad revision 'x'") is None
    True
    """
    if _PARTIAL.search(stderr):
        return Trouble.PARTIAL
    if _BROKEN_THERE.search(stderr):
        return Trouble.BROKEN_THERE
    words = _REMOTE_WORDS.sub("", stderr)  # what a server says of itself is no sign of ours
    if _DISK_FULL.search(words):
        return Trouble.DISK_FULL
    status = _HTTP_STATUS.search(words)
    if status is not None and (trouble := _of_status(int(status[1]))):
        return trouble
    return next(
        (trouble for trouble, signs in _SIGNS if re.search(signs, words, re.MULTILINE)), None
    )


def telling_words(stderr: str, most: int) -> str:
    r"""Give what git said, whole but for noise; beyond `most` characters without its middle.

    >>> telling_words("warning: Skipping unknown msg id 'x'\nremote: fatal: no   \n", 99)
    'remote: fatal: no'
    >>> telling_words("first words, " * 9 + "the last words", 30)
    'first words, fi\n...\nthe last words'
    """
    said = _LINE_END.sub("", _NOISE.sub("", stderr)).strip()
    if len(said) <= most:
        return said
    return f"{said[: most // 2].rstrip()}\n...\n{said[-(most // 2) :].lstrip()}"


def _of_status(status: int) -> Trouble | None:
    if status == _UNAUTHORIZED:
        return Trouble.UNAUTHORIZED
    if status == _FORBIDDEN:
        return Trouble.FORBIDDEN
    if status in _MISSING:
        return Trouble.NOT_FOUND
    if status == _TOO_MANY or status >= _FIRST_FAULT:
        return Trouble.UNREACHABLE
    if _FIRST_REDIRECT <= status < _UNAUTHORIZED - 1:
        return Trouble.MOVED
    return None
