"""A box: where a command that touches a workspace runs, and what it may reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from codebot.domain.task import TaskId


class Network(StrEnum):
    """What a box may reach: nothing, the package registries, or those and the model gateway."""

    NONE = "none"
    REGISTRIES = "registries"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class BoxPaths:
    """Where the workspace and the HOME appear to the command inside the box."""

    workspace: Path
    home: Path


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """A command to run in a box.

    `workspace` and `home` are the service's folders; the command sees them where
    `Sandbox.paths` says. `env` comes on top of the box's own PATH, HOME, USER, LANG, TERM and
    TMPDIR, and may hold the run's gateway token, nothing else that is secret. `read_only` are
    further folders it must be able to read (the mirror's objects, the agent's program).
    `timeout` is the wall clock; `max_output` bounds stdout and stderr together, in bytes.
    """

    task_id: TaskId
    argv: tuple[str, ...]
    workspace: Path
    home: Path
    network: Network
    timeout: timedelta
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    read_only: tuple[Path, ...] = ()
    max_output: int = 256 * 1024 * 1024


class ExitReason(StrEnum):
    """Why a box ended."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    OUTPUT = "output"
    MEMORY = "memory"
    DISK = "disk"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a box ended. `code` is the exit code, negative for a signal, as subprocess counts."""

    reason: ExitReason
    code: int
