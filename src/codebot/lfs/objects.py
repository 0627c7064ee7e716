"""Objects of Git LFS in a folder, named by their hash; what is under a name was checked by it.

The layout is that of Git LFS, so that its own program finds them where a repository borrows.
"""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from codebot.domain.outcome import LargeObject

CHUNK = 1024 * 1024
READ_ONLY = 0o444


class WrongContent(Exception):
    """What came is not what its name says, in words that go on after "its content"."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The objects in one folder, which need not be there."""

    folder: Path

    @classmethod
    def of(cls, repository: Path) -> "ObjectStore":
        """Give the objects of a bare repository, or of a `.git`."""
        return cls(repository / "lfs" / "objects")

    def path(self, one: LargeObject) -> Path:
        """Say where an object is, or would be."""
        return self.folder / one.oid[:2] / one.oid[2:4] / one.oid

    def has(self, one: LargeObject) -> bool:
        """Say whether an object is there, as large as it should be."""
        path = self.path(one)
        return path.is_file() and path.stat().st_size == one.size

    async def put(self, one: LargeObject, chunks: AsyncIterator[bytes]) -> None:
        """Keep an object, whole and checked, or nothing of it; raises `WrongContent`."""
        check = _Check(one)
        with _made_whole(self.path(one), self.folder) as file:
            async for chunk in chunks:
                check.take(chunk)
                file.write(chunk)
            check.end()


@contextmanager
def _made_whole(place: Path, folder: Path) -> Iterator[BinaryIO]:
    """Give a file that is in its place when the block ends well, and nowhere when it does not."""
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=folder)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        new.chmod(READ_ONLY)
        new.rename(place)
    finally:
        new.unlink(missing_ok=True)


class _Check:
    """Holds what comes against hash and size, so that never more is read than there should be."""

    def __init__(self, one: LargeObject) -> None:
        self._one = one
        self._sum = hashlib.sha256()
        self._size = 0

    def take(self, chunk: bytes) -> None:
        self._sum.update(chunk)
        self._size += len(chunk)
        if self._size > self._one.size:
            raise WrongContent("is larger than its pointer says")

    def end(self) -> None:
        if self._size < self._one.size:
            raise WrongContent("is smaller than its pointer says")
        if self._sum.hexdigest() != self._one.oid:
            raise WrongContent("is not what its pointer names")


def find_object(stores: Iterable[ObjectStore], one: LargeObject) -> Path | None:
    """Give the file of an object in the first folder that has it."""
    return next((store.path(one) for store in stores if store.has(one)), None)


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """Give a file, some of it at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
