"""A network of its own for a process of a test, with one cable to ours that can be pulled out."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class FarNetwork:
    """A network namespace; `here` and `there` are the addresses of the two ends of the cable."""

    name: str
    cable: str
    here: str
    there: str

    @property
    def inside(self) -> Sequence[str]:
        """Give the words that start a command there."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        _call("link", "set", self.cable, "down")

    def heal(self) -> None:
        _call("link", "set", self.cable, "up")


@cache
def why_none() -> str:
    """Say why no network can be made here, "" where one can."""
    if os.geteuid() != 0:
        return "only root makes a network of another machine's"
    if shutil.which("ip") is None:
        return "`ip` (iproute2) is not installed"
    try:
        with far_network():
            return ""
    except subprocess.CalledProcessError as error:
        return f"no network can be made here: {error.stderr.decode().strip()}"


@contextmanager
def far_network() -> Iterator[FarNetwork]:
    """Make one for the block, on addresses that belong to nobody (RFC 2544)."""
    mine = os.getpid() % 250
    here, there = (f"198.18.{mine}.{end}" for end in (1, 2))
    far = FarNetwork(f"codebot-{os.getpid()}", f"cb{os.getpid()}", here, there)
    _call("netns", "add", far.name)
    try:
        _call("link", "add", far.cable, "type", "veth", "peer", "name", "far", "netns", far.name)
        _call("addr", "add", f"{far.here}/30", "dev", far.cable)
        _call("-n", far.name, "addr", "add", f"{far.there}/30", "dev", "far")
        for end in ("lo", "far"):
            _call("-n", far.name, "link", "set", end, "up")
        far.heal()
        yield far
    finally:
        _call("netns", "del", far.name)


def _call(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)
