"""What a run's calls to the model add up to: turns, tokens, dollars, errors, waiting."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from codebot.domain.outcome import Usage

PROVIDER = "anthropic"
"""Whose price list counts: an API that only speaks the same language may charge otherwise."""
INPUT_KINDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@dataclass(frozen=True, slots=True)
class Turn:
    """One call, read off its answer. `model` is "" where the answer told no usage.

    `status` is that of the answer, or 502 for a stream that broke; `waited` is the time to the
    first piece of the answer, in seconds.
    """

    status: int
    waited: float
    model: str
    usage: Usage
    priced: bool


@dataclass(frozen=True, slots=True)
class Metered:
    """What one run has used so far.

    `usage.input_tokens` counts cached tokens too. `unpriced` names the models that the price list
    does not know: their tokens are counted, at no cost. `errors` counts calls by the status they
    ended with; `slowest` is the longest wait for the first piece of an answer, in seconds.
    """

    usage: Usage = field(default_factory=Usage)
    unpriced: frozenset[str] = frozenset()
    calls: int = 0
    errors: Mapping[int, int] = field(default_factory=dict)
    slowest: float = 0.0

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
        )


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

    def read(self, piece: bytes) -> None:
        """Read one piece of the body."""
        if piece.startswith(b"{"):
            self._learn(_parse(piece))
            return
        for line in piece.splitlines():
            if line.startswith(b"data:") and _may_matter(line):
                self._read_event(_parse(line.removeprefix(b"data:")))

    def usage(self, *, costs_money: bool) -> tuple[Usage, bool]:
        """Give what the answer used, and whether the price list knows its model."""
        if not self._reported:
            return Usage(), True
        tokens = {key: n for key, n in self._reported.items() if isinstance(n, int) and n > 0}
        cost = price(self.model, self._reported) if costs_money else 0.0
        used = Usage(
            turns=1,
            input_tokens=sum(tokens.get(kind, 0) for kind in INPUT_KINDS),
            output_tokens=tokens.get("output_tokens", 0),
            cost_usd=cost or 0.0,
        )
        return used, cost is not None

    def _read_event(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "message_start", "message": dict(message)}:
                self._learn(message)
            case {"type": "message_delta"}:
                self._learn(event)
            case {"type": "error"}:
                self.broken = True

    def _learn(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"model": str(model)}:
                self.model = model
        match message:
            case {"usage": dict(usage)}:
                self._reported |= {key: n for key, n in usage.items() if n is not None}


def price(model: str, reported: Mapping[str, Any]) -> float | None:
    """Give one turn's price in dollars, or None when the price list does not know the model.

    `reported` is the `usage` object of the Messages API; what it says is not trusted to be sane.
    """
    import genai_prices  # the list of all prices: 0.1 s and 10 MB that no start waits for

    usage = {"input_tokens": 0, "output_tokens": 0, **reported}
    try:
        found = genai_prices.extract_usage({"model": model, "usage": usage}, provider_id=PROVIDER)
        return float(found.calc_price().total_price)
    except (LookupError, ValueError):
        return None


def _may_matter(line: bytes) -> bool:
    # Most lines of a stream are text deltas: parsing them all would cost more than relaying them.
    return b'"message_' in line or b'"error"' in line


def _parse(text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
