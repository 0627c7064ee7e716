"""The error tree: what went wrong, whose fault it is, and what a person can do about it.

Every error carries a stable `code`, a `detail` (a fact, with its values), a `hint` (the next
action) and `retry_after` (when trying again makes sense; None means never). Adapters translate
foreign errors into these once, at the call. Nobody branches on the text.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

WAIT_FOR_ROOM = timedelta(minutes=1)
"""After a full disk: nobody makes room sooner, and to look costs a try."""


class CodebotError(Exception):
    """An error that Codebot understands; anything else is a bug."""

    code: ClassVar[str] = "internal"
    default_hint: ClassVar[str] = ""

    def __init__(
        self, detail: str, *, hint: str | None = None, retry_after: timedelta | None = None
    ) -> None:
        """Keep the fact, the next action and the delay after which a retry makes sense."""
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint
        self.retry_after = retry_after

    @property
    def sentence(self) -> str:
        """The fact followed by the next action, as people read it.

        >>> CodebotError("The disk is full.", hint="Free some space.").sentence
        'The disk is full. Free some space.'
        """
        return f"{self.detail} {self.hint}".strip()


# --- The caller's fault: 4xx over HTTP, exit 2 on the command line -------------------------


class UserError(CodebotError):
    """The caller asked for something that cannot be had as asked."""

    code = "bad_request"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of a request and what is wrong with it."""

    field: str
    message: str


class InvalidRequest(UserError):
    """What was sent breaks a rule; `problems` names each field or parameter."""

    code = "invalid_request"

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        """Keep the problems, and say them all in the detail."""
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = problems


class InvalidTask(InvalidRequest):
    """The task as submitted breaks a rule."""

    code = "invalid_task"


class BodyTooLarge(UserError):
    """The request's body is longer than the service reads."""

    code = "body_too_large"


class NotJson(UserError):
    """The request's body is not declared to be JSON."""

    code = "not_json"
    default_hint = "Send `Content-Type: application/json`."


class NotFound(UserError):
    """Nothing is stored under the name that was asked for."""

    code = "not_found"


class Conflict(UserError):
    """What was asked for contradicts what is already there."""

    code = "conflict"


class KeyReused(UserError):
    """An `Idempotency-Key` came that was sent before, with another request."""

    code = "key_reused"
    default_hint = "Give each request a key of its own; to repeat one, send the very same body."


class Unauthorized(UserError):
    """No valid API key came with the request."""

    code = "unauthorized"
    default_hint = "Send `Authorization: Bearer KEY` with one of the keys in CODEBOT_API_KEYS."


class QueueFull(UserError):
    """As many tasks are waiting as the service accepts; `retry_after` says when to try again."""

    code = "queue_full"


# --- The operator's fault: at start only, exit 78 -------------------------------------------


class ConfigError(CodebotError):
    """The configuration cannot be started with; `problems` lists every one at once."""

    code = "configuration"

    def __init__(self, problems: tuple[str, ...], *, hint: str | None = None) -> None:
        """Keep every problem, and say them all in the detail."""
        super().__init__("; ".join(problems), hint=hint)
        self.problems = problems


class StoreUnavailable(CodebotError):
    """The store cannot be written or read now (disk full, locked, broken).

    `is_harmless` says that nothing was written for certain, and that another try may well work.
    """

    code = "store_unavailable"
    is_harmless = False


class ServiceUnreachable(CodebotError):
    """No running service answers where the settings say that it is."""

    code = "service_unreachable"


class InvalidTransition(CodebotError):
    """A status change that the rules do not allow; always a bug or a lost run."""

    code = "invalid_transition"


class TaskCancelled(CodebotError):
    """Somebody ended the task before its time."""

    code = "cancelled"


class RunLost(CodebotError):
    """Somebody else owns this run by now: stop, write nothing, push nothing."""

    code = "run_lost"


# --- A step of a run failed: ends the run, recorded with step and code ----------------------


class StepFailed(CodebotError):
    """A step of a run could not be done."""

    code = "step_failed"


class WorkspaceError(StepFailed):
    """The workspace could not be made, read or pushed from."""

    code = "workspace"


class GitFailed(WorkspaceError):
    """A git command failed in a way nobody has a better word for."""

    code = "git_failed"


class CloneFailed(WorkspaceError):
    """The repository could not be fetched.

    `in_part` says that something in the repository itself was in the way, which need not concern
    each of its branches.
    """

    code = "clone_failed"
    in_part: bool = False


class BranchMissing(WorkspaceError):
    """The base branch does not exist in the repository."""

    code = "branch_missing"


class PushRejected(WorkspaceError):
    """The remote refused the branch."""

    code = "push_rejected"


class DiskFull(WorkspaceError):
    """There is no room left for the workspace; a run is tried again, as somebody may make some."""

    code = "disk_full"
    default_hint = (
        "Free some space there. A task goes on by itself for some minutes, and later by a retry."
    )

    def __init__(self, place: object) -> None:
        """Name the folder, or the file, whose disk it is."""
        super().__init__(f"The disk of {place} is full.", retry_after=WAIT_FOR_ROOM)


class ChangeRefused(WorkspaceError):
    """What the agent left breaks a rule of the border (size, ancestry, gitlinks, bad objects).

    `remedy` is what the agent itself can do about it, "" where there is nothing that it could;
    `tip_commit` the commit that was refused, None where there is none to be looked at.
    """

    code = "change_refused"
    tip_commit: str | None = None

    def __init__(
        self,
        detail: str,
        *,
        hint: str | None = None,
        remedy: str = "Take that out of your change.",
    ) -> None:
        """Keep what a person can do about it, and what the agent can."""
        super().__init__(detail, hint=hint)
        self.remedy = remedy


class PathProtected(ChangeRefused):
    """The agent touched a path that no change may touch."""

    code = "path_protected"


class SecretFound(ChangeRefused):
    """The agent's change holds what looks like a credential."""

    code = "secret_found"


class SetUpFailed(StepFailed):
    """What a person wrote for this service about setting a repository up does not work."""

    code = "set_up_failed"


class Untested(StepFailed):
    """The change could not be tested, and the operator wants no such change."""

    code = "untested"


class AgentError(StepFailed):
    """The coding agent did not do its work."""

    code = "agent"


class AgentMissing(AgentError):
    """The agent's program is not there."""

    code = "agent_missing"


class AgentUnauthorized(AgentError):
    """The model refused the credential."""

    code = "agent_unauthorized"


class AgentLimited(AgentError):
    """The model's rate limit or overload outlasted the agent's own retries."""

    code = "agent_limited"


class ModelUnpaid(AgentError):
    """The account of the model's credential has no credit, or its budget is used up."""

    code = "model_unpaid"
    default_hint = (
        "Add credit to the account of ANTHROPIC_API_KEY (or raise its limit at your gateway), then"
        " submit the task again."
    )


class AgentTimedOut(AgentError):
    """The agent ran into its wall clock or said nothing for too long."""

    code = "agent_timed_out"


class AgentCrashed(AgentError):
    """The agent ended without a result."""

    code = "agent_crashed"


class BudgetExhausted(AgentError):
    """The task's turns, tokens or dollars are used up."""

    code = "budget_exhausted"


class NothingChanged(AgentError):
    """The agent ended properly and left the repository as it was."""

    code = "no_changes"


class VerifyError(StepFailed):
    """The change does not hold."""

    code = "verify"


class TestsFailed(VerifyError):
    """The test command ended with a non-zero exit code in the last round."""

    __test__ = False  # not a test class, whatever pytest thinks of its name
    code = "tests_failed"


class VerifyTimedOut(VerifyError):
    """The test command did not end in time."""

    code = "tests_timed_out"


class SandboxError(StepFailed):
    """The box could not be made, or its limits are not in force."""

    code = "sandbox"


class SandboxUnavailable(SandboxError):
    """This machine cannot give the sandbox that is asked for."""

    code = "sandbox_unavailable"


class PublishError(StepFailed):
    """The result could not be shown to the world."""

    code = "publish"


class PullRequestRefused(PublishError):
    """The forge understood the pull request and said no."""

    code = "pull_request_refused"


class RunPoisoned(StepFailed):
    """The run took its worker down too often to be tried again."""

    code = "poisoned"


# --- The forge: GitHub or a local one -------------------------------------------------------


class ForgeError(CodebotError):
    """The forge did not do what was asked."""

    code = "forge"


class ForgeUnauthorized(ForgeError):
    """The forge refused the credential, or the App is not installed there."""

    code = "forge_unauthorized"


class ForgeForbidden(ForgeError):
    """The credential is good, but lacks a permission."""

    code = "forge_forbidden"


class ForgeLimited(ForgeError):
    """A rate limit: later, never 'no permission'. `until` is the forge's own word for when."""

    code = "forge_limited"

    def __init__(self, detail: str, *, until: datetime, retry_after: timedelta) -> None:
        """Keep when the forge will answer again."""
        super().__init__(detail, retry_after=retry_after)
        self.until = until


class ForgeNotFound(ForgeError):
    """The repository, branch or pull request is not there, or hidden from us."""

    code = "forge_not_found"


class ForgeRefused(ForgeError):
    """The forge understood the request and rejects its content (422).

    `problems` are the forge's structured findings, such as `base: invalid`; some have none.
    """

    code = "forge_refused"

    def __init__(
        self, detail: str, *, hint: str | None = None, problems: tuple[str, ...] = ()
    ) -> None:
        """Keep what the forge found wrong."""
        super().__init__(detail, hint=hint)
        self.problems = problems


class ForgeBroken(ForgeError):
    """The forge answered with a fault, nonsense, or not at all."""

    code = "forge_broken"
