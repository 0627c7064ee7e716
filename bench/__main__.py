"""Measures what was asked for, or everything, and says what was met."""

import argparse
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from bench import (
    box,
    budget,
    demo,
    idle,
    lists,
    load,
    memory,
    postgres,
    registries,
    size,
    way,
    workers,
    workspaces,
)
from bench.measure import Figure, Figures, describe_machine

GROUPS: Mapping[str, Callable[[Path], Figures]] = {
    "submit": load.measure_submit,
    "single": load.measure_single,
    "status": load.measure_status,
    "list": lists.measure,
    "size": size.measure,
    "postgres-size": size.measure_postgres,
    "box": box.measure,
    "workspaces": workspaces.measure,
    "registries": registries.measure,
    "budget": budget.measure,
    "way": way.measure,
    "workers": workers.measure,
    "postgres": postgres.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "start": idle.measure_start,
    "demo": demo.measure,
}

ON_DEMAND = {"size", "postgres-size"}
"""Only measured when named: to fill it takes minutes, and gigabytes of the temporary folder."""


def main() -> None:
    arguments = _parser().parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    chosen = arguments.groups or [name for name in GROUPS if name not in ON_DEMAND]
    figures = [figure for name in chosen for figure in _measure(name, GROUPS[name])]
    if arguments.fresh:
        figures += _measure("fresh", demo.measure_fresh)
    missed = [figure.name for figure in figures if not figure.is_met]
    print(f"\n{len(figures) - len(missed)} of {len(figures)} figures met.")
    for name in missed:
        print(f"missed: {name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Codebot; all of it takes about ten minutes."
    )
    named = ", ".join(GROUPS)
    alone = ", ".join(ON_DEMAND)
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"{named}; only when named: {alone}"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="also clone this repository and run `make demo` there, with the whole installation",
    )
    return parser


def _measure(name: str, group: Callable[[Path], Figures]) -> list[Figure]:
    """Measure one group in a folder of its own, and print each figure as it comes."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="codebot-bench-") as folder:
        print(f"\n{name}: {describe_machine(Path(folder))}", flush=True)
        for figure in group(Path(folder)):
            print(f"  {figure}", flush=True)
            figures.append(figure)
    return figures


if __name__ == "__main__":
    main()
