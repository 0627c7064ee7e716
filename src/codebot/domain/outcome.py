"""What the steps of a run hand to each other: frozen values, each complete when it exists."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What the model was asked for, added up: turns, tokens, dollars.

    >>> Usage(turns=1, cost_usd=0.5) + Usage(turns=2, cost_usd=0.25)
    Usage(turns=3, input_tokens=0, output_tokens=0, cost_usd=0.75)
    """

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        """Add two usages up."""
        return Usage(
            self.turns + other.turns,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            round(self.cost_usd + other.cost_usd, 10),
        )

    def __sub__(self, other: "Usage") -> "Usage":
        """Give what there is beyond another usage.

        >>> Usage(turns=3, cost_usd=0.75) - Usage(turns=2, cost_usd=0.25)
        Usage(turns=1, input_tokens=0, output_tokens=0, cost_usd=0.5)
        """
        return Usage(
            self.turns - other.turns,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            round(self.cost_usd - other.cost_usd, 10),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed: stable code, one clear fact, the next action, and whether to retry."""

    code: str
    detail: str
    hint: str
    retryable: bool


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Something that a person's own checkout would hold, and a task's does not.

    `reason` goes on where the path ends: "vendor/lib", "is a submodule on another host".
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LargeObject:
    """The content of a file that Git LFS keeps: its SHA-256, in hex, and its size in bytes."""

    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Checkout:
    """Step `prepare`: a clean tree for one task.

    `tree` is the agent's working tree with its own disposable `.git`; `home` the HOME of
    everything that runs in it; `repository` the service's own bare repository of the task, which
    borrows its objects from `mirror` and never sees the agent's files. `submodules` are the paths
    of those that are there, to be read; `gaps` say what is not as it should be.

    With `layers`, the topmost first, the tree is what a box sees of them and of `tree` above them:
    that folder then holds only what was changed. `home_layers` are the same for `home`.

    `node` is where that is, "" where there is only one.
    """

    tree: Path
    home: Path
    repository: Path
    mirror: Path
    base_branch: str
    base_commit: str
    submodules: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    layers: tuple[Path, ...] = ()
    home_layers: tuple[Path, ...] = ()
    node: str = ""


class AgentOutcome(StrEnum):
    """How the agent ended, when it ended properly."""

    DONE = "done"
    MAX_TURNS = "max_turns"
    MAX_TOKENS = "max_tokens"
    MAX_BUDGET = "max_budget"


@dataclass(frozen=True, slots=True)
class AgentReport:
    """Step `work`: what the agent says it did, and what it used in this round alone.

    `title`, `summary` and `commit_message` are the agent's words for the pull request, "" where
    it gave none; `closing_words` is its last text.
    """

    outcome: AgentOutcome
    session_id: str
    title: str
    summary: str
    commit_message: str
    closing_words: str
    usage: Usage
    duration: timedelta


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a change; binary files count no lines."""

    path: str
    additions: int
    deletions: int


@dataclass(frozen=True, slots=True)
class Change:
    """Step `collect`: the agent's work as commits of the bot, in the task's own repository.

    `tip_commit` descends from `base_commit`; `agent_commit` is the commit in the agent's tree
    that it was made from, so that the tests can be shown to have run on this very content.
    `left_out` names the first of what tools made in the tree and git does not know: environments,
    caches, build folders. No commit has it. `large_objects` are what new pointers of Git LFS name:
    the forge must have them before it gets the commits.
    """

    base_commit: str
    tip_commit: str
    agent_commit: str
    commits: int
    files: tuple[ChangedFile, ...]
    left_out: tuple[str, ...] = ()
    large_objects: tuple[LargeObject, ...] = ()

    @property
    def additions(self) -> int:
        """Lines added, over all files."""
        return sum(file.additions for file in self.files)

    @property
    def deletions(self) -> int:
        """Lines deleted, over all files."""
        return sum(file.deletions for file in self.files)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Step `collect`, where the agent's work breaks a rule: why, and what the agent can do then.

    `code` is that of the error with which the task ends, should the next round bring the same.
    """

    code: str
    reason: str
    remedy: str


class VerdictState(StrEnum):
    """What the tests say.

    `passed`: they ran and passed, or failed only as they do on the base; `failed` and `timed_out`:
    they ran, and the change is to blame; `environment`: they could not do their work here, with or
    without the change; `untested`: there is nothing to run.
    """

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ENVIRONMENT = "environment"
    UNTESTED = "untested"

    @classmethod
    def _missing_(cls, value: object) -> "VerdictState | None":
        """Read what was recorded before there were two words for it."""
        return cls.UNTESTED if value == "not_verified" else None


class Basis(StrEnum):
    """By what a run was compared with that of the base."""

    NOTHING = ""
    EXIT_CODE = "exit code"
    TESTS = "tests"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the base of a change says about a failing run: names of tests, in order.

    `inherited` fail there as well, `new` do not. With `by` EXIT_CODE no test is named: both runs
    ended alike, and nobody can tell by which tests. `base_exit_code` is None without a run.
    """

    by: Basis = Basis.NOTHING
    base_exit_code: int | None = None
    inherited: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Step `verify`: the evidence.

    `command` is "" and `exit_code` None when nothing could be run; `source` says where the command
    came from ("task", or "detected from Makefile"); `output` is the tail of stdout and stderr
    together. `reason` says in one sentence why nothing was tested. `tests` counts what ran, where
    the runner said so.
    """

    state: VerdictState
    command: str
    source: str
    exit_code: int | None
    duration: timedelta
    output: str
    commit: str
    reason: str = ""
    tests: int | None = None
    comparison: Comparison = field(default_factory=Comparison)

    @property
    def holds(self) -> bool:
        """Whether no test speaks against the change: another round could mend nothing."""
        return self.state in {
            VerdictState.PASSED,
            VerdictState.ENVIRONMENT,
            VerdictState.UNTESTED,
        }

    @property
    def remedy(self) -> str:
        """What a person can do for the next change to be tested, "" where this one was."""
        return _REMEDIES.get(self.state, "")

    @property
    def is_proof(self) -> bool:
        """Whether tests truly ran, and told the change from its base."""
        return self.state is VerdictState.PASSED and self.comparison.by is not Basis.EXIT_CODE


_REMEDIES = {
    VerdictState.ENVIRONMENT: (
        "What is missing must be where Codebot runs, or come with `setup` in .codebot.toml."
    ),
    VerdictState.UNTESTED: "Name the command: `test` in .codebot.toml.",
}


Feedback = Verdict | Refusal
"""What the agent is given to go on with: its tests did not hold, or its change was not taken."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge knows it. `state` is open, closed or merged."""

    number: int
    url: str
    state: str
    draft: bool


@dataclass(frozen=True, slots=True)
class NewPullRequest:
    """A pull request about to be opened from `head` (a branch of the same repository)."""

    title: str
    body: str
    head: str
    base: str
    draft: bool
    reviewers: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Publication:
    """Step `publish`: what the world can see now."""

    branch_name: str
    commit: str
    pull_request: PullRequest


@dataclass(frozen=True, slots=True)
class ModelRefusal:
    """Why the model gave no answer: it asked for a pause, or nobody pays for it.

    `pause` is its own word for how long to wait, None where it names none; `said` are its words.
    """

    status: int
    pause: timedelta | None = None
    is_unpaid: bool = False
    said: str = ""
