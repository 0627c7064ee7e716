"""What an agent asks the model for, read and vetted: nothing in it costs what nobody counts.

What is known to cost tokens of this one call passes. Everything else is left out: tools that run
at the API (searches are priced apart, and each use reads the conversation again), other tiers and
speeds, other models to fall back on, summaries made on the way, and files that the API would fetch,
which would also be a way out of the box. https://platform.claude.com/docs/en/api/messages
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from codebot.gateway.notices import left_out
from codebot.gateway.upstream import Call

COUNTED_FIELDS = frozenset(
    {
        "cache_control", "context_management", "messages", "model", "output_config",
        "output_format", "system", "thinking", "tool_choice", "tools",
    }
)  # fmt: skip
"""What may stand in a question for the number of tokens."""
FIELDS = COUNTED_FIELDS | {
    "max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_k", "top_p",
}  # fmt: skip
CLIENT_TOOLS = ("bash_", "computer_", "memory_", "text_editor_")
"""Kinds of tools that the API describes and the agent runs; their names go on with a date."""

MOST_TOKENS = 10**7
"""More output is not meant: no model gives a tenth of it."""
MOST_PARTS = 1_000_000
"""Values in a request, each a token at least, so that no context holds more. Read into memory each
takes some hundred bytes, and three bytes of JSON are enough to make one."""
LONGEST_NAME = 200
"""Characters of a model's name, which stands in logs and events, and of a kind of block."""
SMALLEST_THOUGHT = 1024
"""The API's own minimum for `thinking.budget_tokens`."""

NOTICE = 1000
"""Tokens that our own words need, should they be added."""
OVERHEAD = 2000
"""Tokens that a request may hold beside its own words: the API's words about tools and schemas."""
TOKENS_OF_A_PICTURE = 5000
"""More than the largest picture has: https://platform.claude.com/docs/en/build-with-claude/vision"""

Fields = dict[str, Any]


class NotUnderstood(ValueError):
    """A request whose cost cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request that is understood. `left_out` names what was taken out of it.

    `body` is what came, as it came, and None as soon as anything is changed.
    """

    fields: Fields
    body: bytes | None
    most_input: int
    left_out: frozenset[str] = field(default=frozenset())

    @property
    def model(self) -> str:
        """Which model is asked."""
        return str(self.fields["model"])

    @property
    def max_tokens(self) -> int:
        """How much the model may say at most."""
        return int(self.fields["max_tokens"])

    @property
    def asks_for_a_long_cache(self) -> bool:
        """Whether parts may be kept in the cache for an hour, which costs more to write."""
        return '"1h"' in json.dumps(self.fields)

    def sent_by(self, call: Call) -> Call:
        """Give the call as it goes out: byte for byte as it came when nothing was changed."""
        return call if self.body == call.body else replace(call, body=_encoded(self.fields))

    def question(self) -> bytes:
        """Give what asks how many tokens go in."""
        counted = {name: part for name, part in self.fields.items() if name in COUNTED_FIELDS}
        return _encoded(counted)

    def saying_at_most(self, max_tokens: int) -> "ModelRequest":
        """Give the request with less room for an answer; what is left of it leaves room to think.

        With `interleaved thinking` the API takes thoughts longer than `max_tokens`, so they are
        bounded by it in any case.
        """
        thinking = self.fields.get("thinking")
        fields = self.fields | {"max_tokens": max_tokens}
        if isinstance(thinking, dict) and "budget_tokens" in thinking:
            fields |= {"thinking": _shorter(thinking, max_tokens)}
        return self if fields == self.fields else replace(self, fields=fields, body=None)

    def with_notice(self, text: str) -> "ModelRequest":
        """Give the request with a text at the end of the last thing that the user said.

        There and not in the system prompt: what comes before it stays in the prompt cache.
        """
        messages = list(self.fields["messages"])
        for index in reversed(range(len(messages))):
            if messages[index].get("role") == "user":
                content = [*_blocks(messages[index].get("content")), _text(text)]
                messages[index] = messages[index] | {"content": content}
                break
        return replace(self, fields=self.fields | {"messages": messages}, body=None)


def read_request(body: bytes) -> ModelRequest:
    """Read and vet what asks for an answer; raises `NotUnderstood`."""
    request = read_question(body, FIELDS)
    limit = request.fields.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= MOST_TOKENS:
        raise NotUnderstood("`max_tokens` must be a whole number of tokens.")
    return request.saying_at_most(limit)


def read_question(body: bytes, known: frozenset[str] = COUNTED_FIELDS) -> ModelRequest:
    """Read and vet what asks for a number of tokens; raises `NotUnderstood`."""
    fields = _parse(body)
    model, messages = fields.get("model"), fields.get("messages")
    if not isinstance(model, str) or not 0 < len(model) <= LONGEST_NAME:
        raise NotUnderstood("`model` must name one.")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise NotUnderstood("`messages` must be a list of objects.")
    return _Vetting(known).vet(fields, body)


def _parse(body: bytes) -> Fields:
    """Read JSON so that everybody reads the same: no key twice, no NaN, UTF-8 alone."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_PARTS:
        raise NotUnderstood("It has more parts than any model reads.")
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_each_key_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as exc:
        raise NotUnderstood("This is not JSON that everybody reads alike.") from exc
    if not isinstance(value, dict):
        raise NotUnderstood("The request must be a JSON object.")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> Fields:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Vetting:
    """One request on its way through: what was left out of it, and how much it may hold."""

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._left_out: set[str] = set()
        self._most_input = OVERHEAD + NOTICE

    def vet(self, fields: Fields, body: bytes) -> ModelRequest:
        self._left_out = set(fields) - self._known
        passed = {name: part for name, part in fields.items() if name in self._known}
        passed["messages"] = [
            message | {"content": self._content(message.get("content"))}
            for message in passed["messages"]
        ]
        if "system" in passed:
            passed["system"] = self._content(passed["system"])
        if isinstance(tools := passed.get("tools"), list):
            passed["tools"] = [tool for tool in tools if self._is_the_agents(tool)]
        if isinstance(edits := passed.get("context_management"), dict):
            passed["context_management"] = self._edits(edits)
        # No tokenizer makes more tokens than there are bytes.
        most_input = self._most_input + len(body)
        unchanged = None if self._left_out else body
        return ModelRequest(passed, unchanged, most_input, frozenset(self._left_out))

    def _content(self, content: object) -> object:
        return [self._block(block) for block in content] if isinstance(content, list) else content

    def _block(self, block: Any) -> object:  # noqa: ANN401 - JSON
        """Give a block of a message; what is not in the request itself is left out."""
        match block:
            case {"type": "tool_result", "content": [*_]}:
                return block | {"content": self._content(block["content"])}
            case {"type": "image", "source": {"type": "base64", "data": str(data)}}:
                self._most_input += TOKENS_OF_A_PICTURE - len(data)
                return block
            case {"type": "document", "source": {"type": "text"}}:
                return block
            case {"source": dict()} | {"file_id": _}:
                return self._gap(block)
            case {"tool": {"definition": tool}} if not self._is_the_agents(tool):
                return self._gap(block)
            case _:
                return block

    def _gap(self, block: Mapping[str, Any]) -> Fields:
        kind = str(block.get("type"))[:LONGEST_NAME]
        text = left_out(kind)
        self._left_out.add(kind)
        self._most_input += len(text.encode())
        return _text(text)

    def _is_the_agents(self, tool: object) -> bool:
        """Say whether a tool runs at the agent's side."""
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind is None or kind == "custom":
            return True
        if isinstance(kind, str) and kind.startswith(CLIENT_TOOLS):
            self._most_input += OVERHEAD  # the API describes it in words of its own
            return True
        self._left_out.add(f"tool {kind}")
        return False

    def _edits(self, management: Mapping[str, Any]) -> Fields:
        """Give what is cleared from the context; a summary would be a call of its own."""
        edits = management.get("edits")
        listed: Iterable[Any] = edits if isinstance(edits, list) else ()
        kept = [edit for edit in listed if _clears(edit)]
        if kept != edits:
            self._left_out.add("context_management")
        return {"edits": kept}


def _clears(edit: object) -> bool:
    match edit:
        case {"type": str(kind)}:
            return kind.startswith("clear_")
        case _:
            return False


def _shorter(thinking: Fields, max_tokens: int) -> Fields:
    """Give room to think below `max_tokens`, or none where too little is left of it."""
    budget = thinking["budget_tokens"]
    if isinstance(budget, int) and budget < max_tokens:
        return thinking
    if max_tokens <= SMALLEST_THOUGHT:
        return {"type": "disabled"}
    return thinking | {"budget_tokens": max(SMALLEST_THOUGHT, max_tokens // 2)}


def _blocks(content: object) -> list[Any]:
    return content if isinstance(content, list) else [_text(content)]


def _encoded(fields: Fields) -> bytes:
    return json.dumps(fields).encode()


def _text(text: object) -> Fields:
    return {"type": "text", "text": text}
