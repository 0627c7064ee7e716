"""The agent's work, taken out of its tree: as commits, as a diff to read, for another node."""

from contextlib import suppress

from codebot.domain.conclusion import unchanged
from codebot.domain.event import change_collected, change_refused
from codebot.domain.outcome import AgentReport, Change, Checkout, Refusal
from codebot.errors import ChangeRefused, GitFailed, NothingChanged
from codebot.pipeline.moving import keep_for_others
from codebot.pipeline.preparing import find_brought, make_workspace, within
from codebot.pipeline.recorded import COLLECTED, collect_step, find_workspace, newest_change
from codebot.pipeline.tools import Errand
from codebot.publish.wording import commit_message
from codebot.store.steps import Noted

LONGEST_DIFF = 4 * 1024 * 1024
"""Bytes of a diff kept for people to read; the branch has all of it."""


async def collect_work(
    errand: Errand, round_: int, checkout: Checkout, report: AgentReport, *, is_final: bool
) -> Change | Refusal:
    """Take the agent's work out of the tree, as commits of the bot.

    What breaks a rule goes back to the agent, where it can mend that and `is_final` does not
    say otherwise; else `ChangeRefused` ends the task.
    """

    async def collect() -> Change | Refusal:
        try:
            change = await _take_out(errand, checkout, report)
        except NothingChanged as error:
            raise unchanged(report) from error
        except ChangeRefused as refusal:
            await _keep_refused(errand, checkout, refusal)
            if is_final or not refusal.remedy:
                raise
            return _told(errand, refusal)
        await _keep_diff(errand, checkout, change.tip_commit)
        tools = errand.tools
        await keep_for_others(tools.store, tools.workspaces, errand.run, round_, checkout, change)
        return change

    return await errand.journal.once(
        collect_step(round_),
        COLLECTED,
        within(checkout, collect),
        lambda made: Noted(
            events=[change_refused(made) if isinstance(made, Refusal) else change_collected(made)]
        ),
    )


async def find_collected(errand: Errand) -> tuple[Checkout, Change] | None:
    """Give the newest change that the run has collected, and where; None without one.

    What another node has collected is brought here. None, too, where the only workspace that held
    it is gone.
    """
    change = await newest_change(errand.journal)
    if change is None:
        return None
    checkout = await find_workspace(errand.journal, errand.tools.workspaces.node)
    if checkout is not None:
        return checkout, change
    brought = await find_brought(errand)
    if brought is None:
        return None
    return await make_workspace(errand, brought), brought.change


async def _take_out(errand: Errand, checkout: Checkout, report: AgentReport) -> Change:
    author = await errand.forge.identity()
    message = commit_message(errand.task, report, errand.tools.redact)
    return await errand.tools.workspaces.collect(
        errand.task.id, checkout, message=message, author=author
    )


def _told(errand: Errand, refused: ChangeRefused) -> Refusal:
    """Give what the agent may read of it: paths can hold secrets, too."""
    return Refusal(refused.code, errand.tools.redact(refused.detail), refused.remedy)


async def _keep_diff(errand: Errand, checkout: Checkout, tip_commit: str) -> None:
    diff = await errand.tools.workspaces.diff(checkout, tip_commit, LONGEST_DIFF)
    await errand.tools.store.diffs.put(errand.run, diff)


async def _keep_refused(errand: Errand, checkout: Checkout, refusal: ChangeRefused) -> None:
    """Let people look at what was refused: as a diff, masked, and as it lies on the disk."""
    if refusal.tip_commit is not None:
        with suppress(GitFailed):  # what is refused need not even be a commit
            await _keep_diff(errand, checkout, refusal.tip_commit)
    only = " (only what was changed; the rest is the base commit)" if checkout.layers else ""
    kept = f"The work is kept in {checkout.tree}{only} for as long as the task."
    refusal.hint = f"{refusal.hint} {kept}".lstrip()
