"""Parts of files that are not here: each is fetched alone and kept.

A resolver reads the ends of many wheels and takes few of them, where an index has no files of
metadata: fetched whole, fifty packages came to 14 GB.
"""

import re
from collections.abc import Mapping
from contextlib import closing, suppress

import httpx

from codebot.gateway.registries.cache import Cache
from codebot.gateway.registries.catalog import Wanted
from codebot.gateway.registries.replies import RANGE, Whole, heard
from codebot.gateway.registries.table import Kind

LONGEST_PART = 4 * 1024**2
"""Bytes of a part that is asked for alone: metadata, not the rest of a download."""

_SAID = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


def part_of(wanted: Wanted, asked: Mapping[str, str]) -> str:
    """Give the one part of a file that a client asks for, "" where it wants something else."""
    told = asked.get("range", "")
    is_one = wanted.kind is Kind.FILE and "if-range" not in asked and RANGE.fullmatch(told)
    return told if is_one else ""


async def read_part(response: httpx.Response, asked: str) -> Whole | None:
    """Give the part that was asked for; None where the registry sends another, or too much."""
    size = response.headers.get("content-length", "")
    if not size.isdecimal() or int(size) > LONGEST_PART:
        return None
    if not is_that_part(asked, response.headers.get("content-range", ""), int(size)):
        return None
    body = b"".join([piece async for piece in response.aiter_raw()])
    return Whole(response.status_code, heard(response, "content-range"), body)


def is_that_part(asked: str, told: str, size: int) -> bool:
    """Say whether what a registry tells of a part of `size` bytes is what it was asked for.

    >>> is_that_part("bytes=-5", "bytes 95-99/100", 5), is_that_part("bytes=0-9", "bytes 5-9/99", 5)
    (True, False)
    """
    wanted, given = RANGE.fullmatch(asked), _SAID.fullmatch(told)
    if wanted is None or given is None:
        return False
    first, last, whole = map(int, given.groups())
    if not first <= last < whole or size != last + 1 - first:
        return False
    if not wanted[1]:
        return (first, last) == (max(whole - int(wanted[2] or 0), 0), whole - 1)
    wanted_last = int(wanted[2]) if wanted[2] else whole
    return (first, last) == (int(wanted[1]), min(wanted_last, whole - 1))


def keep_part(cache: Cache, key: str, part: Whole) -> None:
    """Keep a part by itself, where the disk takes it; in a thread."""
    with suppress(OSError), closing(cache.begin()) as draft:
        draft.write(part.body)
        cache.keep(draft, key, part.headers)
