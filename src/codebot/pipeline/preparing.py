"""The workspace of a run: made for it, found again, or made anew for what another node did."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from codebot.domain.event import checkout_incomplete
from codebot.domain.outcome import Checkout
from codebot.errors import WorkspaceError
from codebot.pipeline.moving import Brought, bring
from codebot.pipeline.recorded import PREPARE, is_there, work_step
from codebot.pipeline.tools import Errand
from codebot.store.steps import Noted, TaskChanges

T = TypeVar("T")


async def prepare_workspace(errand: Errand) -> Checkout:
    """Give the task a clean tree at the tip of its base branch, or the one that it has.

    A tree that somebody removed is made anew, unless the agent has worked in it already and what
    it did is nowhere else. What another node has collected is brought here; what it has not is
    done again.
    """
    brought = await find_brought(errand)
    has_worked = await errand.journal.has(work_step(1))
    checkout = await errand.journal.once(
        PREPARE,
        Checkout,
        lambda: make_workspace(errand, brought),
        lambda checkout: Noted(
            TaskChanges(work_dir=str(checkout.tree)),
            [checkout_incomplete(checkout.gaps)] if checkout.gaps else (),
        ),
        still_holds=lambda checkout: (
            brought is None and _is_ours(errand, checkout) and (has_worked or is_there(checkout))
        ),
    )
    await errand.tools.workspaces.hold(errand.task.id, checkout)
    return checkout


async def make_workspace(errand: Errand, brought: Brought | None) -> Checkout:
    """Give a new workspace, with what was brought in it.

    What publishing will need is asked for first: a refusal then would waste the agent's paid work.
    """
    task, tools, forge = errand.task, errand.tools, errand.forge
    await forge.identity()
    await forge.write_access(task.request.repository)
    checkout = await tools.workspaces.prepare(
        task.id,
        task.request.repository,
        task.request.base_branch,
        forge,
        work_branch=task.branch_name,
        at=None if brought is None else brought.change.base_commit,
    )
    if brought is not None:
        await brought.unpack(tools.workspaces, tools.testing.places, checkout)
    await tools.publisher.require_push(forge, checkout, task, errand.effects)
    return checkout


async def find_brought(errand: Errand) -> Brought | None:
    """Give what there is of a run's work whose workspace is not here.

    None where it is here, and where there is nothing; then the run begins anew, unless this node
    had it and lost it.
    """
    checkout = await errand.journal.value(PREPARE, Checkout)
    if checkout is None:
        return None
    if _is_ours(errand, checkout) and (
        is_there(checkout) or await errand.tools.store.parcels.get(errand.run) is None
    ):
        return None
    return await bring(errand.tools.store, errand.run, errand.journal)


def within(checkout: Checkout, work: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """Give the work, begun only when its workspace is there: a restored backup may lack it."""

    async def checked() -> T:
        if not is_there(checkout):
            raise WorkspaceError(
                f"The task's workspace is gone: there is no {checkout.tree.parent}.",
                hint="Whatever the agent did there is lost. Submit the task again.",
            )
        return await work()

    return checked


def _is_ours(errand: Errand, checkout: Checkout) -> bool:
    return checkout.node == errand.tools.workspaces.node
