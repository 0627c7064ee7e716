"""Whether a further run of a failed task can go on where the last one ended: its steps tell."""

from collections.abc import Sequence
from dataclasses import dataclass

from codebot.errors import (
    BudgetExhausted,
    ChangeRefused,
    NothingChanged,
    PathProtected,
    SecretFound,
)

AFTER_WORK = ("collect", "verify", "publish")
"""Steps that fail over something else than the agent's work, which is there by then."""

JUDGED = frozenset(
    kind.code
    for kind in (NothingChanged, BudgetExhausted, ChangeRefused, PathProtected, SecretFound)
)
"""What a step says of the work itself: the same would come of it again."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of one step of a run; `failure_code` is None where it did not fail."""

    step: str
    round: int
    is_finished: bool
    failure_code: str | None


def can_go_on(records: Sequence[StepRecord]) -> bool:
    """Say whether a run that ended so left work which nobody has judged.

    >>> work = StepRecord("work", 1, True, None)
    >>> can_go_on([work, StepRecord("publish", 0, False, "forge_broken")])
    True
    >>> can_go_on([work, StepRecord("collect", 1, False, "no_changes")])
    False
    >>> can_go_on([StepRecord("work", 1, False, "agent_timed_out")])
    False
    """
    left = [record for record in records if not record.is_finished]
    has_worked = any(record.step == "work" and record.is_finished for record in records)
    return (
        has_worked
        and all(record.step in AFTER_WORK and record.failure_code not in JUDGED for record in left)
        and bool(left)
    )
