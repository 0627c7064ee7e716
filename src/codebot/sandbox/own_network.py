"""Whether this machine lets a box have a network in which any of its users may take any port."""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from signal import SIGKILL

from codebot.domain.ports import Finding
from codebot.sandbox.fork_server import Child, ForkServer, Order

NOTHING = "/bin/true"
_TRIAL_SECONDS = 10


async def can_open_network(launcher: ForkServer, env: Mapping[str, str]) -> bool:
    """Say whether the launcher can make one: it is asked to, for a program that does nothing.

    Some systems let bwrap alone make namespaces. Boxes begin there as well, in a network that
    bwrap makes. `env` is the launcher's own.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        streams = dict.fromkeys((0, 1, 2), nowhere)
        trial = launcher.fork(Order([NOTHING], {}, network=True), streams, env=env)
    finally:
        os.close(nowhere)
    return await asyncio.to_thread(_ends_well, trial)


def _ends_well(trial: Child) -> bool:
    try:
        return trial.wait(_TRIAL_SECONDS) == 0
    except subprocess.TimeoutExpired:
        os.kill(trial.pid, SIGKILL)
        trial.wait()
        return False


def names_finding(*, opened: bool) -> Finding:
    """Tell by which ways programs in a box find the registries on this machine."""
    if opened:
        detail = "registries are found by proxy and by their names, also by what knows no proxy"
    else:
        detail = (
            "registries are found by proxy alone: this system lets no program but bwrap make a "
            "network, so what knows no proxy (Java above all) does not find them"
        )
    return Finding("network", ok=True, detail=f"{detail}.")
