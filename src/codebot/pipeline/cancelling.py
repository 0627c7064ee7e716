"""The end of a task that somebody cancelled: its paid work is kept, and all else of it goes."""

import asyncio
from datetime import timedelta

import structlog

from codebot.domain.conclusion import cancelled
from codebot.domain.effect import EffectKind
from codebot.domain.event import pull_request_opened
from codebot.domain.outcome import Change, Publication
from codebot.domain.run import RunResult
from codebot.errors import CodebotError, RunLost, StoreUnavailable
from codebot.pipeline.steps import TaskSteps
from codebot.store.steps import TaskChanges

log = structlog.get_logger(__name__)

LONGEST_KEEPING = timedelta(minutes=2)
"""How long a cancelled task may take to push what it had done."""

_KEPT_AS_DIFF = "Its work until then is kept as a diff: GET /api/v1/tasks/{}/diff."


async def put_away(steps: TaskSteps, by: str) -> RunResult:
    """Give how the task ends that `by` has cancelled, once nothing is left of it but its work.

    Nothing of it runs any more. A change that was collected is kept as its branch; a push or a
    pull request that was on its way is looked for, and shown where it arrived.
    """
    task, tools = steps.task, steps.tools
    await tools.testing.sandbox.reap(task.id)
    kept = await _keep_work(steps)
    try:
        await tools.workspaces.remove(task.id)
    except CodebotError as error:
        log.warning("workspace.not_removed", task_id=task.id, reason=error.detail)
    return cancelled(by, kept)


async def _keep_work(steps: TaskSteps) -> str:
    """Keep the change that the run has collected, if it has; say where it is."""
    tools = steps.tools
    try:
        async with asyncio.timeout(LONGEST_KEEPING.total_seconds()):
            found = await steps.collected()
            if found is None:
                return ""
            checkout, change = found
            await tools.publisher.push(steps.forge, checkout, steps.task, change, steps.effects)
            await _find_pull_request(steps, change)
    except (RunLost, StoreUnavailable):
        raise
    except (CodebotError, TimeoutError) as error:
        why = error.detail if isinstance(error, CodebotError) else "that took too long"
        log.warning("branch.not_kept", task_id=steps.task.id, reason=why)
        return f"Its branch could not be pushed. {_KEPT_AS_DIFF.format(steps.task.id)}"
    return f"Its work until then is on the branch {steps.task.branch_name}."


async def _find_pull_request(steps: TaskSteps, change: Change) -> None:
    """Show the pull request that was on its way, if it arrived."""
    task = steps.task
    was_begun = bool(await steps.effects.names(EffectKind.PULL_REQUEST))
    if not was_begun or task.pull_request is not None:
        return
    found = await steps.forge.find_pull_request(task.request.repository, task.branch_name)
    if found is not None:
        opened = pull_request_opened(Publication(task.branch_name, change.tip_commit, found))
        changes = TaskChanges(pull_request=found)
        await steps.tools.store.steps.note(steps.run, changes, [opened])
