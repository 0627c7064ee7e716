"""What an agent does, told as events of its task and as lines of its log."""

from collections.abc import Mapping
from typing import Any, assert_never

from codebot.domain.agent_event import (
    AgentEvent,
    Finished,
    Retrying,
    Said,
    Started,
    Thought,
    ToolCall,
    ToolResult,
)
from codebot.domain.event import EventType
from codebot.domain.run import Run
from codebot.store.store import Store

LONGEST_TEXT = 4000
"""Characters of one text kept in an event; the log keeps all of it."""

LONGEST_LOG = 16 * 1024 * 1024
MOST_TOLD = 10_000
"""Characters in the log and events, both of one round. 200 turns need a small part of either; an
agent that floods would fill the disk of every task, and a log is read as one answer."""

LOG_IS_FULL = f"# the log of this round is full ({LONGEST_LOG:,} characters): no more is kept\n"


class Telling:
    """Writes one round of a run's agent down as it happens, for `/events` and `/log`."""

    def __init__(self, store: Store, run: Run) -> None:
        """Write for `run` into `store`."""
        self._store = store
        self._run = run
        self._logged = 0
        self._told = 0
        self.last_words = ""

    async def event(self, event: AgentEvent) -> None:
        """Store what people following the task want to know; the log gets all that it holds."""
        if isinstance(event, Said):
            self.last_words = event.text
        words = self._what_fits(in_words(event))
        if words:
            await self._store.logs.append(self._run, words)
        told = as_event(event)
        if told is not None and self._told < MOST_TOLD:
            self._told += 1
            await self._store.events.tell(self._run, *told)

    def _what_fits(self, words: str) -> str:
        """Give the words while the log has room for them, then once that it is full."""
        had_room = self._logged <= LONGEST_LOG
        self._logged += len(words)
        if self._logged <= LONGEST_LOG:
            return words
        return LOG_IS_FULL if had_room else ""


def as_event(event: AgentEvent) -> tuple[EventType, Mapping[str, Any]] | None:
    """Give the task event for what the agent did; None for what only the log keeps.

    >>> as_event(Said("Done."))
    (<EventType.AGENT_SAID: 'agent.said'>, {'text': 'Done.'})
    """
    match event:
        case Started(session_id, model):
            return EventType.AGENT_STARTED, {"session_id": session_id, "model": model}
        case Said(text):
            return EventType.AGENT_SAID, {"text": text[:LONGEST_TEXT]}
        case ToolCall(_, tool, summary):
            return EventType.AGENT_USED_TOOL, {"tool": tool, "summary": summary}
        case Retrying(attempt, reason):
            return EventType.AGENT_RETRIED, {"attempt": attempt, "reason": reason}
        case Finished(ending=ending):
            return EventType.AGENT_FINISHED, {"ending": ending.value}
        case _:
            return None


def in_words(event: AgentEvent) -> str:
    r"""Give what the agent did as lines of its log.

    >>> in_words(ToolCall("1", "Bash", "run the tests"))
    '> Bash: run the tests\n'
    """
    match event:
        case Started(session_id, model):
            line = f"# session {session_id}, model {model}"
        case Said(text):
            line = text
        case Thought(text):
            line = f"(thinks) {text}"
        case ToolCall(_, tool, summary):
            line = f"> {tool}: {summary}"
        case ToolResult(_, is_error, output):
            line = f"{'! ' if is_error else '  '}{output}"
        case Retrying(attempt, reason):
            line = f"# the model did not answer ({reason}), attempt {attempt}"
        case Finished(ending=ending):
            line = f"# ended: {ending.value}"
        case _:
            assert_never(event)
    return f"{line}\n"
