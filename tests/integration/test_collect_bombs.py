"""Commits that are small to send and large to look at: they take no more memory than may be."""

import hashlib
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codebot.errors import ChangeRefused
from codebot.git import git as service_git
from fakes.workshop import Workshop, open_workshop, run_in

MEBIBYTE = 1024**2
WIDE, HIGH = 10, 6
"""Ten folders in each folder, six times over: a million files from a dozen objects."""
BLOB, DELTA = 3, 7


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    monkeypatch.setattr(service_git, "MOST_MEMORY", 64 * MEBIBYTE)
    async with open_workshop(tmp_path) as shop:
        yield shop


def made_of(tree: Path, *arguments: str, content: bytes) -> str:
    """Run git in a tree with something to read; give what it says."""
    command = ["git", "-C", str(tree), *arguments]
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    return done.stdout.decode().split()[-1]


def unfolding_tree(tree: Path) -> str:
    """Make a tree of a million files; give its id."""
    made = made_of(tree, "hash-object", "-w", "--stdin", content=b"x")
    kind = "100644 blob"
    for _ in range(HIGH):
        entries = "".join(f"{kind} {made}\t{number}\n" for number in range(WIDE))
        made = made_of(tree, "mktree", content=entries.encode())
        kind = "040000 tree"
    return made


def commit_and_take_back(tree: Path, content: str) -> None:
    """Commit a tree, and after it a harmless one."""
    commit = run_in(tree, "commit-tree", content, "-p", "HEAD", "-m", "bomb")
    run_in(tree, "update-ref", "HEAD", commit)
    (tree / "x").write_text("y")


def pack_of(*objects: bytes) -> bytes:
    packed = b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(objects)
    return packed + hashlib.sha1(packed).digest()


def packed(kind: int, content: bytes, base: bytes = b"") -> bytes:
    """Give one object of a pack: https://git-scm.com/docs/gitformat-pack."""
    head = bytearray([kind << 4 | len(content) & 15])
    size = len(content) >> 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head) + base + zlib.compress(content, 9)


def base_and_copies(copies: int) -> tuple[bytes, str, str]:
    """Give a pack with a file of 1 MiB and a delta that copies it so often, and both ids."""
    size = MEBIBYTE
    content = bytes(size)
    base = hashlib.sha1(b"blob %d\0" % size + content).digest()
    copy = b"\xc0\x10"  # from 0 on, 0x100000 bytes
    delta = number(size) + number(size * copies) + copy * copies
    name = hashlib.sha1(b"blob %d\0" % (size * copies))
    for _ in range(copies):
        name.update(content)
    pack = pack_of(packed(BLOB, content), packed(DELTA, delta, base))
    return pack, base.hex(), name.hexdigest()


def number(value: int) -> bytes:
    """Write a size as a delta does."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


async def test_a_tree_that_unfolds_to_a_million_files_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    commit_and_take_back(checkout.tree, unfolding_tree(checkout.tree))
    with pytest.raises(ChangeRefused, match=r"(?i)out of memory"):
        await shop.collect(checkout)


async def test_a_file_made_of_many_copies_of_another_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    pack, *ids = base_and_copies(99)
    made_of(checkout.tree, "index-pack", "--stdin", content=pack)
    entries = "".join(f"100644 blob {made}\t{made}\n" for made in sorted(ids))
    commit_and_take_back(checkout.tree, made_of(checkout.tree, "mktree", content=entries.encode()))
    with pytest.raises(ChangeRefused, match=r"(?i)out of memory"):
        await shop.collect(checkout)
