"""What a coding agent does, as its output tells it, in words that no agent owns."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Started:
    """The agent is up and has a session that can be resumed."""

    session_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Said:
    """A text meant for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning that the model chose to show."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool began to run. `summary` is one short line of what for."""

    call_id: str
    tool: str
    summary: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool ended; `output` is its tail."""

    call_id: str
    is_error: bool
    output: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """The model did not answer properly; the agent tries again."""

    attempt: int
    reason: str


class Ending(StrEnum):
    """How a session says it ended, before anyone judges it."""

    DONE = "done"
    API_ERROR = "api_error"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Finished:
    """The agent's own last word."""

    ending: Ending
    api_status: int | None
    text: str
    title: str
    summary: str
    commit_message: str


AgentEvent = Started | Said | Thought | ToolCall | ToolResult | Retrying | Finished
