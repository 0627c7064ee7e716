"""Masks a text that comes line by line, where a secret may be longer than what is seen at once."""

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto

from codebot.telemetry.token_shapes import MASK

PIECE = 1024 * 1024
"""Characters that are masked at once: some 20 ms."""

_LONGEST_WORD = 4096
"""So far back a long line is cut, to leave a token whole."""

_BETWEEN_WORDS = " \t\"',;"
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----\s*\Z")
_KEY_HEADER = re.compile(r"[A-Za-z-]{1,40}: .{0,200}|")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{1,100}")
_SHORTEST_FIRST_LINE = 40


class _Key(Enum):
    """How far into a private key the last line was."""

    OUTSIDE = auto()
    BEGUN = auto()
    WITHIN = auto()


class LineMasker:
    """Gives `redact` one line after the other; a private key of many lines is masked as one.

    >>> mask = LineMasker(str)
    >>> begin = "-----BEGIN PRIVATE KEY-----"
    >>> ["".join(mask(line)) for line in (begin, "Ab/" * 20, "Ab==", "and so on")]
    ['-----BEGIN PRIVATE KEY-----', '***', '***', 'and so on']
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        """Begin outside of any key."""
        self._redact = redact
        self._key = _Key.OUTSIDE

    def __call__(self, line: str) -> Iterator[str]:
        """Give the masked line, a long one in pieces."""
        text = line.strip()
        self._key = self._after(text)
        if self._key is _Key.WITHIN:
            yield line.replace(text, MASK)
        else:
            yield from map(self._redact, _pieces(line))

    def _after(self, text: str) -> _Key:
        """Say where this line leads to."""
        if _KEY_BEGINS.search(text, max(len(text) - _LONGEST_WORD, 0)):
            return _Key.BEGUN
        if self._key is _Key.OUTSIDE:
            return _Key.OUTSIDE
        if _KEY_LINE.fullmatch(text):
            is_body = self._key is _Key.WITHIN or len(text) >= _SHORTEST_FIRST_LINE
            return _Key.WITHIN if is_body else _Key.OUTSIDE
        is_header = self._key is _Key.BEGUN and _KEY_HEADER.fullmatch(text)
        return _Key.BEGUN if is_header else _Key.OUTSIDE


def _pieces(line: str) -> Iterator[str]:
    """Cut a long line between two words, where there are any."""
    start = 0
    while len(line) - start > PIECE:
        end = start + PIECE
        end = _last_break(line, end - _LONGEST_WORD, end)
        yield line[start:end]
        start = end
    yield line[start:]


def _last_break(line: str, start: int, end: int) -> int:
    r"""Say where the last word before `end` begins; an escape (`\n`) belongs to what follows."""
    after = max(line.rfind(letter, start, end) + 1 for letter in _BETWEEN_WORDS)
    return max(after, line.rfind("\\", start, end)) or end
