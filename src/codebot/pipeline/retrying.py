"""A further run of a task that failed: it goes on where the last one ended, or begins anew."""

from codebot.domain.resumption import can_go_on
from codebot.domain.run import QueueName, Run, RunKind, queue_of
from codebot.pipeline.recorded import find_workspace
from codebot.pipeline.tools import Tools
from codebot.store.journal import Journal
from codebot.store.store import Store


async def take_over(tools: Tools, run: Run) -> None:
    """Take over what the last run of the task had finished, if this one can go on with it.

    So where a forge said no, only publishing is repeated, and nobody pays an agent twice. What
    failed over the work itself, or whose work is not here, begins anew: nothing is taken over.
    """
    store = tools.store
    if run.kind is not RunKind.RETRY or await store.steps.of_run(run.id):
        return
    earlier = await _last_before(store, run)
    if earlier is None or not can_go_on(await store.steps.of_run(earlier.id)):
        return
    is_here = await find_workspace(Journal(store, earlier), tools.workspaces.node) is not None
    if is_here or await store.parcels.get(earlier) is not None:
        await store.steps.inherit(run, earlier.id)


async def _last_before(store: Store, run: Run) -> Run | None:
    """Give the run that the task waited for before this one."""
    runs = await store.runs.of_task(run.task_id)
    before = [one for one in runs if queue_of(one.kind) is QueueName.TASKS and one.id != run.id]
    return before[-1] if before else None
