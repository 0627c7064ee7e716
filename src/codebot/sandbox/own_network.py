"""Whether this machine lets a box have a network in which any of its users may take any port."""

import asyncio
import marshal
import os
import sys
from importlib.resources import files

from codebot.domain.ports import Finding
from codebot.sandbox.spawn import file_in_memory

LAUNCHER = str(files("codebot.sandbox").joinpath("launcher.py"))
NOTHING = "/bin/true"
_TRIAL_SECONDS = 10


async def can_open_network() -> bool:
    """Say whether the launcher can make one: it is asked to, for a program that does nothing.

    Some systems let bwrap alone make namespaces. Boxes begin there as well, in a network that
    bwrap makes.
    """
    told = {"uid": None, "parent": os.getpid(), "env": dict[str, str](), "network": True}
    with file_in_memory(marshal.dumps({**told, "mounts": []})) as plan:
        trial = await asyncio.create_subprocess_exec(
            *(sys.executable, "-ISs", LAUNCHER, str(plan), NOTHING),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(plan,),
        )
    try:
        async with asyncio.timeout(_TRIAL_SECONDS):
            return await trial.wait() == 0
    except TimeoutError:
        trial.kill()
        await trial.wait()
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
