"""What a run's calls to the model add up to: turns, tokens, dollars, errors, waiting."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from codebot.domain.event import EventData, EventType
from codebot.domain.outcome import ModelRefusal, Usage
from codebot.gateway.prices import Spent, price, read_usage

CUT = 499
"""The status of a call that ended because somebody went away (nginx's word for it)."""
BROKEN = 502
"""The status of a call whose answer broke off."""

FASTEST = 400
"""Tokens a second that no model outruns: thoughts that are not shown can only be bounded so."""
ENVELOPE = 80
"""Bytes of an event of a stream that are not words of the model: less than the shortest has."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One call, as it ended. `model` is "" where no answer named one.

    `status` is that of the answer, `BROKEN` or `CUT`; `waited` is the time to the first piece of
    the answer, in seconds; `usage` is zero for a call that was refused.
    """

    status: int
    waited: float
    model: str
    usage: Usage
    priced: bool
    refusal: ModelRefusal | None = None


@dataclass(frozen=True, slots=True)
class Metered:
    """What one run has used since it was admitted.

    `usage.input_tokens` counts cached tokens too. `unpriced` names the models that the price list
    does not know: they cost what the dearest does. `errors` counts calls by the status they ended
    with; `slowest` is the longest wait for the first piece of an answer, in seconds. `refusal` is
    what the last answer asked for, None where it gave a result.
    """

    usage: Usage = field(default_factory=Usage)
    unpriced: frozenset[str] = frozenset()
    calls: int = 0
    errors: Mapping[int, int] = field(default_factory=dict)
    slowest: float = 0.0
    refusal: ModelRefusal | None = None

    def plus(self, turn: Turn) -> "Metered":
        """Give the sum with one more call."""
        errors = dict(self.errors)
        if turn.status >= 400:  # noqa: PLR2004 - HTTP's own border
            errors[turn.status] = errors.get(turn.status, 0) + 1
        return replace(
            self,
            usage=self.usage + turn.usage,
            unpriced=self.unpriced if turn.priced else self.unpriced | {turn.model},
            calls=self.calls + 1,
            errors=errors,
            slowest=max(self.slowest, turn.waited),
            refusal=turn.refusal,
        )

    def as_event(self) -> EventData:
        """Give what a task's record keeps of a round."""
        return EventType.MODEL_METERED, {
            "calls": self.calls,
            "turns": self.usage.turns,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cost_usd": self.usage.cost_usd,
            "errors": {str(status): count for status, count in sorted(self.errors.items())},
            "slowest_seconds": round(self.slowest, 3),
            "unpriced": sorted(self.unpriced),
        }


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a call may have used where its answer does not say: what was set aside for it."""

    input: Spent
    max_tokens: int


class AnswerReader:
    """Reads model and usage out of one answer while it passes by, whole lines at a time.

    A stream tells its input when it starts and its output, as running totals, when it ends; an
    answer in one piece tells both at once. Lines that do not say what they should say nothing.
    """

    def __init__(self) -> None:
        """Have read nothing yet."""
        self.model = ""
        self.broken = False
        self._reported: dict[str, Any] = {}
        self._tells_all = False
        self._words = 0

    def read(self, piece: bytes) -> None:
        """Read one piece of the body."""
        if piece.startswith(b"{"):
            self._tells_all = self._learn(_parse(piece))
            return
        for line in piece.splitlines():
            if not line.startswith(b"data:"):
                continue
            if _may_matter(line):
                self._read_event(_parse(line.removeprefix(b"data:")))
            self._words += max(0, len(line) - ENVELOPE)

    def used(self, bounds: Bounds, *, seconds: float, is_whole: bool) -> Spent:
        """Give what the call has used: what its answer told, else the most that it can have.

        `seconds` is how long it took; `is_whole` says that the answer came to its end. One that
        was cut off has an output of at least what passed, and of no more than could be made.
        """
        told = read_usage(self._reported)
        if self._tells_all and not self.broken:
            return told
        output = bounds.max_tokens
        if not is_whole or self.broken:
            output = min(output, max(told.output, self._words, int(seconds * FASTEST)))
        if self._knows_input:
            return replace(told, output=max(told.output, output))
        return replace(bounds.input, output=output)

    @property
    def says_nothing(self) -> bool:
        """Whether no part of what it used was told."""
        return not self._reported

    @property
    def _knows_input(self) -> bool:
        return _is_count(self._reported.get("input_tokens"))

    def _read_event(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "message_start", "message": dict(message)}:
                self._learn(message)
            case {"type": "message_delta"}:
                self._tells_all = self._learn(event)
            case {"type": "error"}:
                self.broken = True

    def _learn(self, message: Mapping[str, Any]) -> bool:
        """Take in what a message tells, and say whether input and output are both known now."""
        match message:
            case {"model": str(model)}:
                self.model = model
        match message:
            case {"usage": dict(usage)}:
                self._reported = _larger(self._reported, usage)
                return _is_count(usage.get("output_tokens")) and self._knows_input
        return False


def charge(models: tuple[str, ...], spent: Spent, *, costs_money: bool) -> tuple[Usage, bool]:
    """Give a call's usage with its price by the first known model, and whether one is known."""
    dollars, is_priced = price(models, spent) if costs_money else (0.0, True)
    return Usage(1, spent.input, spent.output, round(dollars, 10)), is_priced


def _larger(known: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Give the larger of all counts: totals only grow, whatever a server says later."""
    larger = dict(known)
    for key, new in told.items():
        old = larger.get(key)
        match old, new:
            case dict(), dict():
                larger[key] = old | {k: n for k, n in new.items() if _is_more(n, old.get(k))}
            case dict(), _:
                pass
            case _ if old is None or _is_more(new, old):
                larger[key] = new
    return larger


def _is_more(new: object, old: object) -> bool:
    if not isinstance(new, int) or not _is_count(new):
        return False
    return not isinstance(old, int) or new > old


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _may_matter(line: bytes) -> bool:
    # Most lines of a stream are text deltas: parsing them all would cost more than relaying them.
    return b'"message_' in line or b'"error"' in line


def _parse(text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
