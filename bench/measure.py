"""What a figure is, how it is judged, and what of the machine is told beside it."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROUNDS = 3
"""How often everything is measured; the median counts."""

_SYNCS = 100
_ADDITIONS = 1_000_000


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured in each round, and what it should be."""

    name: str
    rounds: Sequence[float]
    target: float
    unit: str = ""
    at_least: bool = False
    note: str = ""

    @property
    def value(self) -> float:
        """Give the median of the rounds."""
        return median(self.rounds)

    @property
    def is_met(self) -> bool:
        """Say whether the median keeps to the target."""
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        """Give one line: name, median, target, verdict, rounds, and what else is worth telling."""
        sign = ">=" if self.at_least else "<="
        rounds = " ".join(f"{each:.4g}" for each in self.rounds)
        return (
            f"{self.name:<54} {self.value:>8.4g} {self.unit:<3} {sign} {self.target:<5g} "
            f"{'met   ' if self.is_met else 'MISSED'}  [{rounds}]  {self.note}"
        ).rstrip()


Figures = Iterator[Figure]


def milliseconds(seconds: float) -> float:
    """Give seconds as milliseconds.

    >>> milliseconds(0.25)
    250.0
    """
    return seconds * 1000


def median_of(values: Sequence[float]) -> float:
    """Give the median in milliseconds of durations in seconds."""
    return milliseconds(median(values))


def describe_machine(folder: Path) -> str:
    """Give the line that every figure has to be read with."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, load average {load}; "
        f"{_ADDITIONS:,} additions: {_adding_time():.0f} ms; "
        f"4 KiB written and synced to {folder}: p50 {_sync_time(folder):.2f} ms"
    )


def _adding_time() -> float:
    """Give the milliseconds that Python adds for: a shared machine is three times as slow at times.

    Of two lines whose times differ as these do, neither is the better.
    """
    began = time.perf_counter()
    total = 0
    for number in range(_ADDITIONS):
        total += number
    return milliseconds(time.perf_counter() - began)


def _sync_time(folder: Path) -> float:
    """Give the milliseconds that the disk takes to confirm a small write."""
    times = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return median_of(times)
