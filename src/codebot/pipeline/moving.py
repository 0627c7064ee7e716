"""A run that goes on at another node: what was collected comes along, all else is done again.

What that costs is charged to the same budget: the task's usage is in the store.
"""

from dataclasses import dataclass

import structlog

from codebot.domain.outcome import Change, Checkout
from codebot.domain.run import Run
from codebot.domain.status import is_final
from codebot.domain.task import TaskId
from codebot.pipeline.recorded import PREPARE, change_of
from codebot.store.journal import Journal
from codebot.store.parcels import Parcel
from codebot.store.store import Store
from codebot.workspace.places import Places
from codebot.workspace.workspaces import Workspaces

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Brought:
    """A change that another node has collected, and the pack that holds it."""

    task_id: TaskId
    change: Change
    data: bytes

    async def unpack(self, workspaces: Workspaces, places: Places, checkout: Checkout) -> None:
        """Put it into a workspace that was made at its base, where an agent may go on with it."""
        await workspaces.unpack(checkout, self.data)
        await places.put_at(self.task_id, checkout, self.change.tip_commit)


async def bring(store: Store, run: Run, journal: Journal) -> Brought | None:
    """Give the change that a run brings along, None without one; what followed it is forgotten."""
    parcel = await store.parcels.get(run)
    change = None if parcel is None else await change_of(journal, parcel.round)
    found = Brought(run.task_id, change, parcel.data) if parcel and change else None
    await store.steps.forget(run, parcel.round if parcel and found else 0)
    log.info("run.moved", keeps_work=found is not None)
    return found


async def has_moved(store: Store, node: str, task_id: TaskId) -> bool:
    """Say whether a task has ended with its workspace at another node than this one.

    One that was taken over has a workspace at each; a node that takes it back makes a new one.
    """
    task = await store.tasks.get(task_id)
    if task is None or not is_final(task.status):
        return False
    for run in reversed(await store.runs.of_task(task_id)):
        checkout = await Journal(store, run).value(PREPARE, Checkout)
        if checkout is not None:
            return checkout.node != node
    return False


async def keep_for_others(
    store: Store,
    workspaces: Workspaces,
    run: Run,
    round_: int,
    checkout: Checkout,
    change: Change,
) -> None:
    """Let another node go on with the change, should this one die; where there are others."""
    if not workspaces.node:
        return
    packed = await workspaces.pack(checkout, change)
    if packed is None:  # too large: the agent would begin anew there
        await store.parcels.remove(run)
    else:
        await store.parcels.put(run, Parcel(round_, packed))
