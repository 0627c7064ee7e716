"""`codebot doctor --repository`: whether a repository's changes would be truly tested here."""

from collections.abc import Callable
from dataclasses import replace

from codebot.app.forges import repository_rules
from codebot.app.parts import Parts, open_parts
from codebot.app.run import for_one_task
from codebot.app.trial import require_sandbox
from codebot.domain.environment import Recipe, TestCommand
from codebot.domain.task import Task
from codebot.errors import RunLost
from codebot.intake.submission import task_request
from codebot.pipeline.rehearsal import Rehearsal, Watched, rehearse
from codebot.queue.submit import submit_task
from codebot.sandbox.held_folder import held_folder
from codebot.sandbox.privacy import hide_environment
from codebot.settings import Settings
from codebot.store.store import new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.workspace.folders import delete_folder


async def rehearse_repository(
    settings: Settings, url: str, *, redactor: Redactor, show: Callable[[str], None]
) -> Rehearsal:
    """Set the repository up and run the tests of its base, in real boxes; nothing stays on disk.

    No model is asked. A local directory may be looked at without further ado: who can start this
    can read it. `show` hears what is about to begin. Raises `InvalidTask` for what is no
    repository, `SandboxUnavailable`, and what the steps of a task raise.
    """
    hide_environment()
    with held_folder("codebot-doctor-") as folder:
        own = for_one_task(settings, folder)
        own = replace(own, data_dir=folder / "data", work_dir=folder / "work")
        fields = {"repository_url": url, "description": "See whether its tests run."}
        request = task_request(fields, repository_rules(own))
        show(f"Fetching {request.repository.url}")
        try:
            async with open_parts(own, redactor, public_url="") as parts:
                await require_sandbox(parts)
                submitted = await submit_task(
                    parts.queue, request, key_fingerprint="", now=utc_now, new_id=new_uuid7
                )
                task = await parts.store.tasks.get(submitted.stored_as)
                if task is None:
                    raise RunLost(f"The task {submitted.stored_as} is gone.")
                return await _rehearse(parts, task, show)
        finally:
            for left in (own.work_dir, own.data_dir):
                delete_folder(left)


async def _rehearse(parts: Parts, task: Task, show: Callable[[str], None]) -> Rehearsal:
    def begin(recipe: Recipe) -> None:
        show(f"Setting up from {recipe.source}")

    def run(command: TestCommand) -> None:
        show(f"Running the tests: {command.command} ({command.source})")

    forge = parts.pipeline.forges[task.request.repository.forge]
    try:
        return await rehearse(parts.pipeline.tools, forge, task, Watched(begin, run))
    finally:
        await parts.sandbox.reap()
        await parts.workspaces.remove(task.id)
