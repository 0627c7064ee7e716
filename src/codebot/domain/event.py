"""What happened to a task, in order: the append-only record behind `/events`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from codebot.domain.budget import Cap, Caps
from codebot.domain.environment import Environment, Recipe
from codebot.domain.outcome import Change, Gap, Publication, Refusal, Usage, Verdict
from codebot.domain.run import RunId
from codebot.domain.task import TaskId

MOST_GAPS = 50
"""Gaps of a checkout that are told one by one."""


class EventType(StrEnum):
    """Past tense, dotted; the part before the dot is the thing it happened to."""

    TASK_SUBMITTED = "task.submitted"
    TASK_CANCEL_REQUESTED = "task.cancel_requested"
    TASK_FINISHED = "task.finished"
    TASK_RETRIED = "task.retried"
    RUN_STARTED = "run.started"
    RUN_INTERRUPTED = "run.interrupted"
    RUN_RESUMED = "run.resumed"
    RUN_POSTPONED = "run.postponed"
    RUN_FINISHED = "run.finished"
    STEP_STARTED = "step.started"
    STEP_FINISHED = "step.finished"
    STEP_FAILED = "step.failed"
    AGENT_STARTED = "agent.started"
    AGENT_SAID = "agent.said"
    AGENT_USED_TOOL = "agent.used_tool"
    AGENT_RETRIED = "agent.retried"
    AGENT_FINISHED = "agent.finished"
    BUDGET_WARNED = "budget.warned"
    BUDGET_EXHAUSTED = "budget.exhausted"
    MODEL_METERED = "model.metered"
    MODEL_UNMETERED = "model.unmetered"
    EGRESS_REFUSED = "egress.refused"
    CHECKOUT_INCOMPLETE = "checkout.incomplete"
    SET_UP_STARTED = "set_up.started"
    ENVIRONMENT_SET_UP = "environment.set_up"
    CHANGE_COLLECTED = "change.collected"
    CHANGE_REFUSED = "change.refused"
    TESTS_FINISHED = "tests.finished"
    BRANCH_PUSHED = "branch.pushed"
    PULL_REQUEST_OPENED = "pull_request.opened"
    COMMENT_IGNORED = "comment.ignored"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `seq` grows without reuse over all tasks; `time` is aware UTC."""

    id: str
    seq: int
    type: EventType
    time: datetime
    task_id: TaskId
    run_id: RunId | None
    data: Mapping[str, Any]


EventData = tuple[EventType, Mapping[str, Any]]
"""An event about to happen: its type and what it says."""


def budget_warned(caps: Caps, cap: Cap, used: Usage) -> EventData:
    """Tell that the agent is asked to come to an end: a cap is nearly reached."""
    return EventType.BUDGET_WARNED, caps.as_told(cap, used)


def budget_exhausted(caps: Caps, cap: Cap, used: Usage) -> EventData:
    """Tell that a call to the model was refused: it could have passed a cap."""
    return EventType.BUDGET_EXHAUSTED, caps.as_told(cap, used)


def model_unmetered(model: str, charged: Usage) -> EventData:
    """Tell that an answer of the model did not say what it used; the most it can was charged."""
    return EventType.MODEL_UNMETERED, {
        "model": model,
        "input_tokens": charged.input_tokens,
        "output_tokens": charged.output_tokens,
        "cost_usd": charged.cost_usd,
    }


def checkout_incomplete(gaps: Sequence[Gap]) -> EventData:
    """Tell what is missing in a checkout; of many gaps the first ones, and how many there are."""
    told = [{"path": gap.path, "reason": gap.reason} for gap in gaps[:MOST_GAPS]]
    return EventType.CHECKOUT_INCOMPLETE, {"gaps": told, "count": len(gaps)}


def set_up_started(recipe: Recipe) -> EventData:
    """Tell which recipe is tried now; an earlier one may have failed."""
    return EventType.SET_UP_STARTED, {"source": recipe.source}


def environment_set_up(environment: Environment) -> EventData:
    """Tell what the repository needed, and what became of it."""
    recipe = environment.recipe
    return EventType.ENVIRONMENT_SET_UP, {
        "state": environment.state.value,
        "source": "" if recipe is None else recipe.source,
        "reason": environment.reason,
        "failures": list(environment.failures),
        "notes": [] if recipe is None else list(recipe.notes),
        "reused": environment.reused,
        "seconds": environment.duration.total_seconds(),
    }


def change_collected(change: Change) -> EventData:
    """Tell how large a change is, and what of the tree is none of it."""
    return EventType.CHANGE_COLLECTED, {
        "commits": change.commits,
        "files": len(change.files),
        "additions": change.additions,
        "deletions": change.deletions,
        "left_out": list(change.left_out),
    }


def change_refused(refusal: Refusal) -> EventData:
    """Tell why a change goes back to the agent, and what the agent is told to do."""
    return EventType.CHANGE_REFUSED, {
        "code": refusal.code,
        "detail": refusal.reason,
        "remedy": refusal.remedy,
    }


def tests_finished(verdict: Verdict) -> EventData:
    """Tell what the tests said, and how long they took in seconds."""
    return EventType.TESTS_FINISHED, {
        "state": verdict.state.value,
        "command": verdict.command,
        "exit_code": verdict.exit_code,
        "seconds": verdict.duration.total_seconds(),
        "reason": verdict.reason,
        "remedy": verdict.remedy,
        "tests": verdict.tests,
        "compared_by": verdict.comparison.by.value,
        "inherited": len(verdict.comparison.inherited),
        "new": len(verdict.comparison.new),
        "verified": verdict.is_proof,
    }


def branch_pushed(branch_name: str, change: Change) -> EventData:
    """Tell that the branch is on the forge."""
    return EventType.BRANCH_PUSHED, {"branch_name": branch_name, "commit": change.tip_commit}


def pull_request_opened(publication: Publication) -> EventData:
    """Tell where the pull request is."""
    opened = publication.pull_request
    return EventType.PULL_REQUEST_OPENED, {
        "number": opened.number,
        "url": opened.url,
        "draft": opened.draft,
    }
