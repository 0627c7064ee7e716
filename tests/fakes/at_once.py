"""What the store answers without waiting: every read of SQLite, on the loop that asks."""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(reading: Coroutine[Any, Any, T]) -> T:
    """Give what a read of SQLite gives, where nobody can await it; fails if it ever waits."""
    try:
        reading.send(None)
    except StopIteration as answer:
        found: T = answer.value
        return found
    reading.close()
    raise AssertionError("A read of SQLite waited for something.")
