from typing import Any, get_args

import pytest

from codebot.agent.telling import (
    LOG_IS_FULL,
    LONGEST_LOG,
    LONGEST_TEXT,
    MOST_TOLD,
    Telling,
    as_event,
    in_words,
)
from codebot.domain import agent_event
from codebot.domain.agent_event import (
    AgentEvent,
    Ending,
    Finished,
    Retrying,
    Said,
    Started,
    Thought,
    ToolCall,
    ToolResult,
)
from codebot.domain.event import EventType
from fakes.agents import a_last_word

TOLD = [
    (Started("s-1", "m-1"), EventType.AGENT_STARTED, {"session_id": "s-1", "model": "m-1"}),
    (Said("Hello."), EventType.AGENT_SAID, {"text": "Hello."}),
    (ToolCall("1", "Bash", "ls"), EventType.AGENT_USED_TOOL, {"tool": "Bash", "summary": "ls"}),
    (Retrying(2, "529"), EventType.AGENT_RETRIED, {"attempt": 2, "reason": "529"}),
    (a_last_word(Ending.ABORTED), EventType.AGENT_FINISHED, {"ending": "aborted"}),
]
ONLY_IN_THE_LOG = [Thought("Hm."), ToolResult("1", is_error=False, output="shop.py")]


@pytest.mark.parametrize(("event", "kind", "data"), TOLD)
def test_what_matters_to_others_becomes_an_event(
    event: AgentEvent, kind: EventType, data: dict[str, Any]
) -> None:
    assert as_event(event) == (kind, data)


@pytest.mark.parametrize("event", ONLY_IN_THE_LOG)
def test_thoughts_and_outputs_are_for_the_log_alone(event: AgentEvent) -> None:
    assert as_event(event) is None


def test_a_long_text_is_cut_in_the_event_and_whole_in_the_log() -> None:
    said = Said("x" * 10 * LONGEST_TEXT)
    told = as_event(said)
    assert told is not None
    assert len(told[1]["text"]) == LONGEST_TEXT
    assert in_words(said) == said.text + "\n"


class ListStore:
    """Stands for the store's log and events: keeps both in lists."""

    def __init__(self) -> None:
        self.logs = self.events = self
        self.log: list[str] = []
        self.told: list[EventType] = []

    async def append(self, run: Any, text: str) -> None:
        self.log.append(text)

    async def tell(self, run: Any, kind: EventType, data: Any) -> None:
        self.told.append(kind)


def a_telling(store: Any) -> Telling:
    return Telling(store, None)  # type: ignore[arg-type]


async def test_a_flood_fills_the_log_of_its_round_and_no_more() -> None:
    store = ListStore()
    telling = a_telling(store)
    longest = Said("x" * (64 * 1024 - 1))
    for _ in range(LONGEST_LOG // (64 * 1024) + 5):
        await telling.event(longest)
    await telling.event(Said("The end."))

    *kept, last = store.log
    assert sum(map(len, kept)) == LONGEST_LOG
    assert last == LOG_IS_FULL
    assert telling.last_words == "The end."


async def test_a_round_is_told_in_so_many_events_at_most() -> None:
    store = ListStore()
    telling = a_telling(store)
    for _ in range(MOST_TOLD + 5):
        await telling.event(Said("y"))

    assert len(store.told) == MOST_TOLD
    assert len(store.log) == MOST_TOLD + 5


def test_every_kind_of_event_has_its_line_in_the_log() -> None:
    events = [event for event, _, _ in TOLD] + ONLY_IN_THE_LOG
    assert {type(event) for event in events} == set(get_args(agent_event.AgentEvent))
    lines = [in_words(event) for event in events]
    assert len(set(lines)) == len(lines)
    assert all(line.endswith("\n") for line in lines)


def test_a_result_that_is_an_error_is_marked() -> None:
    assert in_words(ToolResult("1", is_error=True, output="no such file")).startswith("!")
    assert in_words(ToolResult("1", is_error=False, output="fine")).startswith(" ")


def test_the_last_word_says_how_it_ended() -> None:
    assert isinstance(a_last_word(), Finished)
    assert "done" in in_words(a_last_word())
