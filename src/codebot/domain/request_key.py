"""A caller's own name for a request: sent again, it changes nothing and is answered as before."""

from dataclasses import dataclass

from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The name of one request, as the store knows it: both parts are SHA-256, in hex.

    `id` stands for the name and whose it is, `request` for all that was asked for.
    """

    id: str
    request: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What a caller was told: which task it is, and where that stood then.

    `is_replay` says that this was told before, and nothing has been done now.
    """

    task_id: TaskId
    status: TaskStatus
    is_replay: bool = False
