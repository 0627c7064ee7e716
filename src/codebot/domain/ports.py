"""The seams of the product: each has two real implementations, or will have.

Only these are protocols; git, HTTP, ids and the clock need none. The clock is a function:
`now: Callable[[], datetime]`, aware UTC.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from codebot.domain.agent_event import AgentEvent
from codebot.domain.box import BoxPaths, BoxSpec, Exit, Network, Outfit
from codebot.domain.effect import Permit
from codebot.domain.outcome import AgentReport, NewPullRequest, PullRequest
from codebot.domain.repository import Identity, RemoteAccess, Repository
from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run, RunResult
from codebot.domain.secret import Secret
from codebot.domain.task import NewTask, TaskId


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: what was looked at, whether it is good, what it said, how to mend it.

    `required` tells whether the service can work without it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True


# --- Sandbox ---------------------------------------------------------------------------------


class Box(Protocol):
    """A command that runs. Its whole process tree ends with it."""

    def stdout(self) -> AsyncIterator[bytes]:
        """Give stdout line by line, line ends included; a line may be many megabytes."""
        ...

    def stderr_tail(self) -> str:
        """Give the last 8 KiB of stderr so far, decoded leniently, whole lines where it was cut.

        Half a line may hold half a secret, which nobody would know for one.
        """
        ...

    async def wait(self) -> Exit:
        """Wait for the end; the same answer every time. Nothing of the box runs afterwards."""
        ...

    async def interrupt(self) -> None:
        """Send SIGINT to the command itself: agents save their session on it."""
        ...

    async def terminate(self) -> None:
        """Send SIGTERM to the command's process group."""
        ...

    async def kill(self) -> None:
        """End every process of the box now."""
        ...


class Sandbox(Protocol):
    """Where commands run.

    `paths_are_fixed` says that workspace and HOME appear in the same place in every box, so that
    what one box has set up still works in another.
    """

    name: str
    paths_are_fixed: bool

    async def check(self) -> Sequence[Finding]:
        """Really try what the sandbox promises on this machine, once, at start."""
        ...

    def paths(self, workspace: Path, home: Path) -> BoxPaths:
        """Say where the two folders appear inside a box."""
        ...

    def has(self, program: str) -> bool:
        """Say whether commands find a program of this name on their PATH."""
        ...

    def find(self, program: str) -> Path | None:
        """Give the program of this name that commands find on their PATH, None where none is."""
        ...

    def has_room(self, folder: Path) -> bool:
        """Say whether commands have room to write on the disk of a folder."""
        ...

    async def start(self, spec: BoxSpec) -> Box:
        """Start the command; raises `SandboxError`, or `FileNotFoundError` for its program."""
        ...

    async def reap(self, task_id: TaskId | None = None) -> int:
        """End what a crash left running, of one task or of all; say how many processes."""
        ...


# --- Egress ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doors:
    """The listening sockets of a box; `tls` where its network could be given that port, too."""

    proxy: socket.socket
    tls: socket.socket | None = None

    def close(self) -> None:
        """Close both."""
        self.proxy.close()
        if self.tls is not None:
            self.tls.close()


class EgressServer(Protocol):
    """The way out of one box, while the box runs."""

    async def close(self) -> None:
        """Cut every connection and close the listening socket."""
        ...


class Egress(Protocol):
    """What boxes may reach, and by which address. A box has no network but this."""

    async def outfit(self, network: Network) -> Outfit:
        """Give what a box needs so that its programs find proxy and registries."""
        ...

    async def serve(self, task_id: TaskId, network: Network, doors: Doors) -> EgressServer:
        """Serve a box's own listening sockets, which this owns from now on."""
        ...


# --- Agent -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """How one run reaches the model: our own address and a token that is worthless elsewhere."""

    url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class AgentJob:
    """One round of work for an agent.

    `prompt` goes to stdin. `instructions` are the repository's own (CLAUDE.md, AGENTS.md of the
    base commit) and ours, passed as system prompt. With `resume` the session goes on.
    `opening` is what an agent must be told before `prompt` when the session it was to go on with
    is lost: the task itself.
    """

    prompt: str
    instructions: str
    session_id: str
    resume: bool
    model: str | None
    gateway: GatewayAccess
    paths: BoxPaths
    opening: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start an agent: `files` are written below HOME first (relative path to content).

    `read_only` are host folders or files that the command needs to see inside its box.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdin: bytes
    files: Mapping[str, str]
    read_only: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """Everything the runner saw of an agent that ended: the material to judge it by.

    `idle` says that the runner stopped it because it had said nothing for too long.
    """

    exit: Exit
    duration: timedelta
    events: Sequence[AgentEvent]
    stderr_tail: str
    idle: bool


class Agent(Protocol):
    """A coding agent: pure functions. The shared runner does everything that happens."""

    name: str

    async def check(self) -> Sequence[Finding]:
        """Say whether the agent's program is there, and which version."""
        ...

    def launch(self, job: AgentJob) -> Launch:
        """Say how to start it; raises `AgentMissing`."""
        ...

    def session(self, job: AgentJob) -> str:
        """Say where below HOME the session is kept, as a glob pattern; "" without sessions."""
        ...

    def parse(self, line: bytes) -> Sequence[AgentEvent]:
        """Read one line of stdout; unknown or broken lines give nothing."""
        ...

    def judge(self, job: AgentJob, ended: Ended) -> AgentReport:
        """Say what the ending means, or raise the `AgentError` that names it.

        What it used is not its to say: the gateway knows.
        """
        ...


# --- Forge -----------------------------------------------------------------------------------


class Readable(Protocol):
    """Where a repository can be fetched from."""

    async def read_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to fetch."""
        ...

    async def forget_access(self, repository: Repository) -> None:
        """Drop cached tokens: git was refused with one."""
        ...


class Forge(Protocol):
    """Where repositories live and pull requests are opened. Errors are `ForgeError`s.

    Whatever changes something that others see takes a `Permit`: see `domain.effect`.
    """

    name: str

    async def check(self) -> Sequence[Finding]:
        """Say whether credentials and permissions are as needed, for `doctor`."""
        ...

    async def identity(self) -> Identity:
        """Say who the bot is here."""
        ...

    async def default_branch(self, repository: Repository) -> str:
        """Ask for the branch that pull requests go to by default."""
        ...

    async def read_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to fetch."""
        ...

    async def source_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to fetch from a repository that no task works on.

        Where the credential has no business, that is what anybody has.
        """
        ...

    async def write_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to push."""
        ...

    async def forget_access(self, repository: Repository) -> None:
        """Drop cached tokens: git was refused with one."""
        ...

    async def find_pull_request(self, repository: Repository, head: str) -> PullRequest | None:
        """Look up the pull request of a branch, open or not; newest first."""
        ...

    async def open_pull_request(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        """Open it, or give the one that is there already: never two for one branch.

        Raises `PullRequestRefused` when the forge says no to its content.
        """
        ...

    def branch_url(self, repository: Repository, branch: str) -> str:
        """Say where a person can look at a branch ("" where nobody can)."""
        ...


# --- Queue -----------------------------------------------------------------------------------


class Queue(Protocol):
    """Durable runs: stored with their task, claimed by one worker at a time, never lost.

    Every write after `claim` is fenced by the run's attempt number: when another worker has taken
    the run over, it raises `RunLost` and writes nothing.
    """

    async def submit(self, new: NewTask, key: RequestKey | None = None) -> TaskId:
        """Store the task with its first run and its first event; on disk when this returns.

        Gives its id. Where `key` was used for the same request before, nothing is stored, and this
        gives the id of the task of then. Raises `QueueFull` at once, with nothing stored,
        `Conflict` when the branch name is taken in that repository (draw another id), `KeyReused`
        for the key of another request, and `StoreUnavailable`.
        """
        ...

    async def claim(self, queue: QueueName) -> Run:
        """Wait for the next run that is due, oldest first, and mark it running.

        At most one run per key runs at a time. A run that took its worker down three times is
        not handed out again: its task fails as `poisoned`.
        """
        ...

    async def finish(self, run: Run, result: RunResult) -> None:
        """End the run and, with it, the task."""
        ...

    async def postpone(self, run: Run, until: datetime, reason: str) -> None:
        """Put the run back for a later attempt; the task waits. Counts as a failure.

        Where somebody has cancelled the task, it ends.
        """
        ...

    async def interrupt(self, run: Run) -> None:
        """Put the run back at once because its worker stops; counts as nothing."""
        ...

    async def cancel(self, task_id: TaskId, by: str, key: RequestKey | None = None) -> Answered:
        """Have a task end as cancelled; `by` says on whose wish, as "the API key 0123".

        One that waits has ended when this returns, also between two attempts. Of one that is
        worked on the wish is on disk then, and it ends as cancelled whatever comes between. Raises
        `NotFound`, and `Conflict` for one that has ended. `key` is as in `submit`.
        """
        ...

    async def retry(self, task_id: TaskId, by: str, key: RequestKey | None = None) -> Answered:
        """Have a task that failed or was cancelled worked on once more, by a further run.

        On disk when this returns; counts as one that waits. Raises `NotFound`, `Conflict` for a
        task that waits, is worked on or is completed, and `QueueFull`. `by` and `key` are as in
        `cancel`.
        """
        ...

    async def wait_for_cancel(self, run: Run) -> str:
        """Wait until somebody wants the task of a claimed run to end, and say who that is.

        Raises `RunLost` when another worker has the run.
        """
        ...

    async def recover(self) -> int:
        """At start: put back what a dead worker left running; say how many."""
        ...

    async def size(self, queue: QueueName) -> int:
        """Say how many runs wait in this queue (running ones not counted)."""
        ...

    async def keep_in_touch(self) -> None:
        """Hear of what other processes do, and show them that this one lives, until cancelled.

        Where there are no others it returns at once.
        """
        ...
