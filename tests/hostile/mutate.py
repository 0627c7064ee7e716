"""Takes every argument of a box and every rule of its filter away, one at a time.

    PYTHONPATH=tests python -m hostile.mutate

Prints what each is missed by. One that nothing misses is either of no use or not tested: exit 1.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from codebot.sandbox.refused_calls import RULES
from hostile.judge import judged
from hostile.variants import USERS, Variant, open_variant

WAYS_TO_FAIL = 2
OF_NO_USE = {("ordinary user", "--cap-drop ALL"): "an ordinary user's bwrap has none to leave"}
"""What takes nothing away when it is taken away."""


@dataclass(frozen=True)
class Whole:
    """A box that lacks nothing: what its arguments are, and what is wrong without a filter."""

    options: list[str]
    limits: list[str]
    unfiltered: set[str]


def look_at_whole(variant: Variant) -> Whole:
    """Give what mutations are compared with; it must be without a fault itself."""
    box = variant.ask("inside")
    wrong = judged(box, variant.told)
    assert not wrong, wrong
    unfiltered = judged(variant.ask("inside", unfiltered=True), variant.told)
    return Whole(box["options"], box["limits"], set(unfiltered))


def missed(variant: Variant, whole: Whole, number: int) -> dict[str, str]:
    """Give what is wrong when an option is left out: the first way of looking that shows it."""
    without: list[Callable[[], dict[str, str]]] = [
        lambda: judged(variant.ask("inside", options=[number]), variant.told),
        lambda: without_filter(variant, whole, number),
        lambda: killed(variant, number),
        lambda: leaking(variant, number),
        lambda: refusing(variant, whole, number),
        lambda: undropped(variant, number),
    ]
    return next((wrong for way in without if (wrong := way())), {})


def without_filter(variant: Variant, whole: Whole, number: int) -> dict[str, str]:
    """Give what the filter alone held."""
    box = variant.ask("inside", options=[number], unfiltered=True)
    wrong = judged(box, variant.told)
    return {name: how for name, how in wrong.items() if name not in whole.unfiltered}


def killed(variant: Variant, number: int) -> dict[str, str]:
    left = variant.ask("survivors", options=[number], unguarded=True)["left"]
    return {"end with the service": f"{len(left)} processes left"} if left else {}


def leaking(variant: Variant, number: int) -> dict[str, str]:
    wrong = judged(variant.ask("leaking", options=[number]), variant.told)
    wrong.pop("see marks alone in the environment of pid 1", None)  # it is what leaks there
    return wrong


def refusing(variant: Variant, whole: Whole, number: int) -> dict[str, str]:
    both = [number, whole.options.index("--disable-userns")]
    if "broken" in variant.ask("inside", options=both):
        return {}
    return {"refuse to begin where user namespaces can be made": "it began"}


def undropped(variant: Variant, number: int) -> dict[str, str]:
    """Give what a bwrap that stayed root leaves to the box."""
    box = variant.ask("inside", options=[number], undropped=True)
    name = "have no capability and be able to gain none"
    return {name: "is not so"} if name in judged(box, variant.told) else {}


def missed_rule(variant: Variant, name: str) -> dict[str, str]:
    """Give what is wrong when a rule is left out: attempts that get through, and its own calls."""
    wrong = judged(variant.ask("inside", rule=name), variant.told)
    passed = variant.ask("dyed", rule=name)["passed"]
    return wrong | {f"rule {rule}": call for rule, call in passed}


def missed_limit(variant: Variant, number: int) -> dict[str, str]:
    return judged(variant.ask("inside", limit=number), variant.told)


def mutations(variant: Variant, whole: Whole) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Give everything that can be taken away, and how."""
    for number, option in enumerate(whole.options):
        yield option, lambda number=number: missed(variant, whole, number)
    yield "launcher: network", lambda: judged(variant.ask("networkless"), variant.told)
    for number, word in enumerate(whole.limits):
        if word.startswith("--") and word != "--":
            yield f"prlimit {word}", lambda number=number: missed_limit(variant, number)
    for rule in RULES:
        yield f"rule: {rule.name}", lambda name=rule.name: missed_rule(variant, name)


def try_all(user: str) -> list[str]:
    """Print a line for each mutation, and give those that nothing noticed."""
    survived = []
    with open_variant(user) as variant:
        whole = look_at_whole(variant)
        for name, take_away in mutations(variant, whole):
            wrong = take_away()
            reason = OF_NO_USE.get((user, name))
            if reason and not wrong:
                print(f"no use    {user:14} {name:52.52} {reason}")
                continue
            if not wrong:
                survived.append(name)
            told = "; ".join(f"{what} ({how})" for what, how in [*wrong.items()][:WAYS_TO_FAIL])
            more = f"; {len(wrong) - WAYS_TO_FAIL} more" if len(wrong) > WAYS_TO_FAIL else ""
            print(f"{'red' if wrong else 'SURVIVED':8}  {user:14} {name:52.52} {told:.110}{more}")
    return survived


def main() -> int:
    """Try all of them as everybody that boxes can be started by."""
    begun = time.monotonic()
    survived = {user: try_all(user) for user in USERS}
    for user, names in survived.items():
        print(f"{user}: {', '.join(names) or 'nothing'} survived")
    print(f"{time.monotonic() - begun:.0f} s")
    return 1 if any(survived.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
