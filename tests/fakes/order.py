"""The order of tests for several workers, which are each given a share of it, in one piece."""

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")


def long_first(
    tests: Sequence[T],
    workers: int,
    *,
    is_long: Callable[[T], bool],
    file_of: Callable[[T], Hashable],
) -> list[T]:
    """Let every worker begin with some of those that take long: the end waits for no such one.

    The tests of a file stay together, for what they share.

    >>> long_first("abcdEFgH", 2, is_long=str.isupper, file_of=lambda one: one in "EF")
    ['E', 'F', 'a', 'b', 'H', 'c', 'd', 'g']
    """
    begins: list[list[T]] = [[] for _ in range(workers)]
    long = [test for test in tests if is_long(test)]
    files = [list(group) for _, group in groupby(long, key=file_of)]
    for file in sorted(files, key=len, reverse=True):
        min(begins, key=len).extend(file)
    rest = [test for test in tests if not is_long(test)]
    ordered: list[T] = []
    for index, begin in enumerate(begins):
        share = (len(tests) - len(ordered)) // (workers - index)  # as pytest-xdist shares them
        room = max(0, share - len(begin))
        ordered += [*begin, *rest[:room]]
        rest = rest[room:]
    return [*ordered, *rest]
