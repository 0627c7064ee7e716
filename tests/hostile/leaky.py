"""Sandboxes that lack something, and what is started in them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from codebot.domain.box import BoxLimits, BoxSpec, Network
from codebot.domain.task import TaskId
from codebot.sandbox.arguments import Part, View, box_parts
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.guarded import Guard
from codebot.sandbox.identity import box_user
from codebot.sandbox.program import find_bubblewrap
from codebot.sandbox.refused_calls import RULES, Rule, refusal
from codebot.sandbox.seccomp import assemble
from fakes.calls import REFUSED
from fakes.egress import NoEgress
from hostile.options import options, without
from hostile.world import NUMBERS

PATH = "/usr/local/bin:/usr/bin:/bin"
OTHER = TaskId("other")
FIRST_DYE = 2000
"""Errors that no kernel knows: each rule answers with one of its own, to be told from the others,
and from what the kernel says without a filter."""


@dataclass(frozen=True)
class Mutation:
    """What a box lacks: options and a limit by their numbers, a rule by its name, the filter."""

    options: Sequence[int] = ()
    rule: str | None = None
    limit: int | None = None
    unfiltered: bool = False
    undropped: bool = False
    """Whether bwrap itself runs as root, if the service does: as it never should."""
    unguarded: bool = False
    """Whether nobody looks for what a service that was killed left."""


class LeakySandbox(BubblewrapSandbox):
    """A sandbox that lacks something, and whose filter may be dyed."""

    def __init__(
        self,
        mutation: Mutation,
        mark: str,
        *,
        dyed: bool = False,
        limits: BoxLimits = BoxLimits(),  # noqa: B008 - frozen
    ) -> None:
        self.mutation = mutation
        self.told: list[tuple[str, ...]] = []
        super().__init__(
            find_bubblewrap(),
            path=PATH,
            mark=mark,
            egress=NoEgress(),
            limits=limits,
            parts=self._parts_without,
            user_of=nobody_else if mutation.undropped else box_user,
        )
        if mutation.unguarded:
            self._guard = NoGuard()
        kept = [rule for rule in RULES if rule.name != mutation.rule and not mutation.unfiltered]
        self._filter = assemble(os.uname().machine, map(dye, kept) if dyed else kept)

    def _parts_without(self, view: View) -> list[Part]:
        parts = box_parts(view)
        self.told = options(parts)
        return without(parts, self.mutation.options)

    def limiting_words(self, spec: BoxSpec) -> list[str]:
        """Give what sets the limits of a box, whole."""
        return super()._limiting(spec, self._user_of(spec.task_id))

    def _limiting(self, spec: BoxSpec, uid: int | None) -> list[str]:
        words = super()._limiting(spec, uid)
        return [word for index, word in enumerate(words) if index != self.mutation.limit]


class NoGuard(Guard):
    """Brings up no warden."""

    environment: dict[str, str] = {}  # type: ignore[assignment]  # noqa: RUF012 - never changed


def nobody_else(task_id: TaskId) -> None:
    """Let boxes run as whoever starts them."""


def dye(rule: Rule) -> Rule:
    """Give the rule with an answer by which it is known."""
    names = [each.name for each in RULES]
    return replace(rule, answer=refusal(FIRST_DYE + names.index(rule.name)))


def dyed_calls() -> Iterator[tuple[str, int, list[int], int]]:
    """Give rule, number, arguments and the error that only this rule answers with."""
    names = [each.name for each in RULES]
    numbers = NUMBERS[os.uname().machine]
    for name, examples in REFUSED.items():
        for called, arguments, _ in examples:
            number = called if isinstance(called, int) else numbers.get(called)
            if number is not None:
                yield name, number, list(arguments), FIRST_DYE + names.index(name)


def a_spec(
    place: Path,
    *argv: str,
    stdin: bytes = b"",
    task_id: TaskId | None = None,
    **env: str,
) -> BoxSpec:
    """Give a command for a box, of a task of its own: boxes of one user share its processes.

    What of `layer` and `home-layer` the place has, shows through below its folders.
    """
    return BoxSpec(
        task_id=task_id or TaskId(str(place)),
        argv=argv,
        workspace=place / "tree",
        home=place / "home",
        network=Network.REGISTRIES,
        timeout=timedelta(seconds=600),
        stdin=stdin,
        env=env,
        layers=there(place / "layer"),
        home_layers=there(place / "home-layer"),
    )


def there(folder: Path) -> tuple[Path, ...]:
    """Give a folder if there is one."""
    return (folder,) if folder.is_dir() else ()


def living(nap: str) -> list[int]:
    """Give the processes that have this on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if nap.encode() in words and state != "Z" and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
