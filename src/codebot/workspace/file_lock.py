"""A lock between processes: `codebot run` works beside `codebot serve` on the same mirrors."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from codebot.sandbox.locks import ALONE, let_go, try_to_lock

PAUSE = 0.05
"""Seconds between two tries. A blocking `flock` would hold a thread that nobody can cancel."""


@asynccontextmanager
async def file_lock(path: Path, kind: int = ALONE) -> AsyncIterator[None]:
    """Hold a lock on `path` for the block, alone or together; the kernel frees it when we die."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not try_to_lock(descriptor, kind):  # noqa: ASYNC110 - another process wakes nobody here
            await asyncio.sleep(PAUSE)
        yield
    finally:
        let_go(descriptor)


@contextmanager
def locked_file(path: Path) -> Iterator[bool]:
    """Hold the same lock for the block if it is free right now; say whether it is."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield try_to_lock(descriptor)
    finally:
        let_go(descriptor)
