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
    `Sandbox.paths` says. `env` comes on top of the variables that every box has, and may hold the
    run's gateway token, nothing else that is secret. `read_only` are further folders it must be
    able to read (the mirror's objects, the agent's program). `path` are folders inside the box that
    come first on its PATH. `timeout` is the wall clock; `max_output` bounds stdout and stderr
    together, in bytes. One `in_background` leaves the processors to the others.

    `layers` show through below `workspace`, `home_layers` below `home`, the topmost first; nothing
    in a box can change them. What the box writes goes into the two folders, which hold nothing
    else then, and which one box at a time may have. Not every sandbox can (`SandboxError`).
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
    path: tuple[str, ...] = ()
    max_output: int = 256 * 1024 * 1024
    in_background: bool = False
    layers: tuple[Path, ...] = ()
    home_layers: tuple[Path, ...] = ()


HOSTNAME, HOST_ADDRESS = "codebot", "127.0.1.1"
"""What a box calls itself, and where that is: not at localhost, which has a name already."""

PROXY_PORT = 3128
"""Where a box finds everything it may reach, on its own loopback address."""

TLS_PORT = 443
"""Where programs that know no proxy find the registries: on that address as well."""

MODEL_URL = f"http://127.0.0.1:{PROXY_PORT}"
"""The model gateway, as the agent in a box knows it."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a box is given to find its way out and to trust it.

    `env` are variables, `files` maps absolute paths in the box to their content, and `hosts` are
    the names that mean the box's own loopback address.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoxLimits:
    """What one box may use. Sizes are in bytes.

    `memory` counts all its processes and what lies in its /tmp; `disk` the workspace and the HOME
    together; `file_size` a single file. `free_disk` and `free_memory` are what must stay free for
    everybody else: below that the largest box ends.
    """

    memory: int = 4 * 1024**3
    disk: int = 10 * 1024**3
    processes: int = 512
    open_files: int = 4096
    file_size: int = 4 * 1024**3
    free_disk: int = 512 * 1024**2
    free_memory: int = 256 * 1024**2


class ExitReason(StrEnum):
    """Why a box ended."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    OUTPUT = "output"
    MEMORY = "memory"
    DISK = "disk"
    KILLED = "killed"


class Bound(StrEnum):
    """What a command may not have more of; being refused it does not end a box by itself."""

    PROCESSES = "processes"
    OPEN_FILES = "open files"
    FILE_SIZE = "file size"
    CPU_TIME = "CPU time"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a box ended. `code` is the exit code, negative for a signal, as subprocess counts.

    `reached` is a bound at which the box was seen, whether that was the reason or not.
    """

    reason: ExitReason
    code: int
    reached: Bound | None = field(default=None, compare=False)
