"""What a commit holds in the place of a large file: a few lines that name its content.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

import re

from codebot.domain.outcome import LargeObject

LONGEST_POINTER = 1024
"""Bytes, exclusive: what is longer is no pointer, whatever stands in it."""

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\n"
    rb"size (?P<size>0|[1-9][0-9]{0,17})\n?"
)


def read_pointer(content: bytes) -> LargeObject | None:
    r"""Give what a pointer names; None for everything else, extended pointers included.

    >>> start = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32
    >>> read_pointer(start + b"\nsize 12\n").size
    12
    >>> read_pointer(start + b"\nsize -1\n") is None
    True
    """
    if len(content) >= LONGEST_POINTER:
        return None
    found = _POINTER.fullmatch(content)
    return None if found is None else LargeObject(found["oid"].decode(), int(found["size"]))
