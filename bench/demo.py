"""`make demo`: the whole way on this machine, and on a fresh clone with the installation."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from bench import ROOT
from bench.measure import ROUNDS, Figure, Figures

_OF_A_MODEL = ("ANTHROPIC_", "CLAUDE_", "CODEBOT_", "GITHUB_")
"""What would let the demo ask a real model, whose time is not Codebot's."""


def measure(folder: Path) -> Figures:
    """Run the demo where everything is installed."""
    rounds = [_time_demo(ROOT, folder / "log") for _ in range(ROUNDS)]
    yield Figure("make demo, again", rounds, 20, "s")


def measure_fresh(folder: Path) -> Figures:
    """Clone what is committed and run the demo there: once, since it installs everything."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    yield Figure("make demo, fresh clone", [_time_demo(clone, folder / "log")], 240, "s")


def _time_demo(checkout: Path, log: Path) -> float:
    began = time.perf_counter()
    with log.open("wb") as output:
        done = subprocess.run(
            ["make", "demo"],
            cwd=checkout,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"make demo ended with {done.returncode}:\n{log.read_text()}")
    return time.perf_counter() - began


def _environment() -> Mapping[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(_OF_A_MODEL)}
