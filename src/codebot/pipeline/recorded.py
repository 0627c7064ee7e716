"""What the steps of a run are called in its record, and what they have left there."""

from typing import cast

from codebot.domain.outcome import Change, Checkout, Refusal
from codebot.domain.status import Phase
from codebot.store.journal import Journal, Step

ROUNDS = 3
"""Attempts at a change that holds: the first, and two more with what came of it as feedback.

One of the two may go to a change that the border refused; the second refusal ends the task.
"""

PREPARE = Step("prepare", Phase.PREPARING)
COLLECTED = cast("type[Change | Refusal]", Change | Refusal)


def work_step(round_: int) -> Step:
    """Name the agent's work in a round."""
    return Step("work", Phase.AGENT, round_)


def collect_step(round_: int) -> Step:
    """Name what takes the work of a round out of the tree."""
    return Step("collect", Phase.AGENT, round_)


async def change_of(journal: Journal, round_: int) -> Change | None:
    """Give what a round has collected, None where it has not, or nothing that may leave."""
    made = await journal.value(collect_step(round_), COLLECTED)
    return made if isinstance(made, Change) else None


async def newest_change(journal: Journal) -> Change | None:
    """Give what the last round that collected something has collected, None without one."""
    for round_ in range(ROUNDS, 0, -1):
        made = await change_of(journal, round_)
        if made is not None:
            return made
    return None


async def find_workspace(journal: Journal, node: str) -> Checkout | None:
    """Give the workspace that a run has at this node; None without one, or with none any more."""
    checkout = await journal.value(PREPARE, Checkout)
    is_here = checkout is not None and checkout.node == node and is_there(checkout)
    return checkout if is_here else None


def is_there(checkout: Checkout) -> bool:
    """Say whether the folders of a workspace of this node are on its disk."""
    return checkout.tree.is_dir() and checkout.repository.is_dir()
