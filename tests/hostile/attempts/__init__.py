"""Tries everything that a box must prevent, and tells what it could do.

Runs outside a box first, where it must succeed, then inside, where it must not: the same program
with the same world. It needs nothing but Python, and leaves nothing behind on the host.
"""

import json
import sys

from . import host, kernel, network, set_id, system
from .looking import facts
from .trying import ATTEMPTS, NEEDS_ROOT, World, tried

__all__ = ["ATTEMPTS", "NEEDS_ROOT", "host", "kernel", "main", "network", "set_id", "system"]


def main(world: World) -> None:
    """Look, then try; one line of JSON."""
    seen = facts(world) if world["looks"] else {}
    results = {name: tried(function, world) for name, function in ATTEMPTS.items()}
    sys.stdout.write(json.dumps({"facts": seen, "attempts": results}) + "\n")
