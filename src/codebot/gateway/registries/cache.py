"""What was read of registries, on disk, for all tasks: whole answers, and none that is half.

An entry is one file: a line of JSON that tells about it, then the body. It is written elsewhere and
moved into its place when it is whole, so that a crash leaves no entry but only a draft, which the
next start removes. When it was last looked at is its access time, when it was last known to be
right its modification time.
"""

import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import structlog

log = structlog.get_logger(__name__)

LONGEST_HEAD = 4096
"""Bytes in front of every body. Its size is known last, so that the room is kept free."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept answer, open for reading: it can be read to its end even if it is evicted.

    `checked_at` is in seconds of the epoch.
    """

    file: IO[bytes]
    size: int
    checked_at: float
    headers: Mapping[str, str]

    def read(self, offset: int, size: int) -> bytes:
        """Give a piece of the body."""
        return _read(self.file, offset, size, self.size)

    def close(self) -> None:
        """Let go of it."""
        self.file.close()


@dataclass(slots=True)
class Draft:
    """An answer that is being written. Whoever ends without `keep` leaves nothing behind."""

    path: Path
    file: IO[bytes]
    size: int = 0

    def write(self, piece: bytes) -> None:
        """Add to the body."""
        self.file.write(piece)
        self.size += len(piece)

    def read(self, offset: int, size: int) -> bytes:
        """Give a piece of what is written so far."""
        return _read(self.file, offset, size, self.size)

    def close(self) -> None:
        """Let go of it."""
        self.file.close()


@dataclass(slots=True)
class Cache:
    """A folder of answers that takes at most `budget` bytes, the least recently used go first.

    Its methods touch the disk: call them in a thread, but for `size`.
    """

    folder: Path
    budget: int
    now: Callable[[], float] = time.time
    _size: int = field(default=0)
    _turn: threading.RLock = field(default_factory=threading.RLock)

    def open(self) -> None:
        """Make the folder, remove what a crash left, and count what is there."""
        for name in ("entries", "drafts"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in (self.folder / "drafts").iterdir():
            _remove_unless_held(draft)
        self._size = sum(size for _, size, _ in self.listed())

    def size(self) -> int:
        """Give the bytes of all entries, as far as this process knows."""
        return self._size

    def find(self, key: str) -> Entry | None:
        """Give an entry, which counts as used now; None when there is none."""
        path = self._path(key)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        seen = os.fstat(file.fileno())
        told = _read_head(os.pread(file.fileno(), LONGEST_HEAD, 0))
        if told is None or told["size"] != seen.st_size - LONGEST_HEAD:
            file.close()
            self.forget(path)
            return None
        with suppress(OSError):
            os.utime(file.fileno(), (self.now(), seen.st_mtime))
        return Entry(file, told["size"], seen.st_mtime, told["headers"])

    def begin(self) -> Draft:
        """Give an empty draft; raises `OSError`."""
        path = self.folder / "drafts" / secrets.token_hex(16)
        file = path.open("xb+", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b" " * (LONGEST_HEAD - 1) + b"\n")
        return Draft(path, file)

    def keep(self, draft: Draft, key: str, headers: Mapping[str, str]) -> None:
        """Make a draft that is whole the entry of a key, after making room; raises `OSError`."""
        told = json.dumps({"size": draft.size, "headers": dict(headers)}).encode()
        needed = LONGEST_HEAD + draft.size
        if len(told) >= LONGEST_HEAD or needed > self.budget:
            self.drop(draft)
            return
        os.pwrite(draft.file.fileno(), told.ljust(LONGEST_HEAD - 1), 0)
        target = self._path(key)
        with self._turn:
            if self._size + needed > self.budget:
                self.evict(self._size + needed - self.budget)
            target.parent.mkdir(exist_ok=True, mode=0o700)
            with suppress(FileNotFoundError):
                self._size -= target.stat().st_size
            draft.path.replace(target)
            self._size += needed

    def drop(self, draft: Draft) -> None:
        """Keep nothing of a draft; who reads it reads on."""
        draft.path.unlink(missing_ok=True)

    def renew(self, entry: Entry) -> None:
        """Note that an entry was found to be right just now."""
        with suppress(OSError):
            os.utime(entry.file.fileno(), (self.now(), self.now()))

    def evict(self, wanted: int) -> int:
        """Remove the least recently used entries until `wanted` bytes are free; say how many are.

        What is being read can be read to its end.
        """
        with self._turn:
            found, freed = sorted(self.listed()), 0
            for _, size, path in found:
                if freed >= wanted:
                    break
                path.unlink(missing_ok=True)
                freed += size
            self._size = sum(size for _, size, _ in found) - freed
        log.info("registries.evicted", bytes=freed)
        return freed

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / "entries" / digest[:2] / digest

    def listed(self) -> Iterator[tuple[float, int, Path]]:
        """Give every entry: when it was last used, its size, and the file to forget it by.

        Each service counts what it keeps by itself; this is what all of them have kept.
        """
        for path in (self.folder / "entries").glob("*/*"):
            with suppress(OSError):
                seen = path.stat()
                yield seen.st_atime, seen.st_size, path

    def forget(self, path: Path) -> bool:
        """Remove an entry; say whether it is gone. Whoever reads it reads on."""
        with self._turn, suppress(OSError):
            self._size -= path.stat().st_size
            path.unlink()
        return not path.exists()


def _read(file: IO[bytes], offset: int, size: int, whole: int) -> bytes:
    return os.pread(file.fileno(), max(min(size, whole - offset), 0), LONGEST_HEAD + offset)


def _read_head(text: bytes) -> dict[str, Any] | None:
    """Give what an entry tells about itself; None when that is nothing."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) and {"size", "headers"} <= told.keys() else None


def _remove_unless_held(draft: Path) -> None:
    """Remove a draft that nobody writes any more: who writes holds its lock."""
    with suppress(OSError), draft.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.unlink()
