"""What one task may use of the model: its caps, and arithmetic on them."""

from dataclasses import dataclass
from enum import StrEnum

from codebot.domain.outcome import AgentOutcome, Usage

WRAP_UP = 0.8
"""The share of a cap from which on the agent is told to come to an end."""


class Cap(StrEnum):
    """What is capped."""

    TURNS = "turns"
    TOKENS = "tokens"
    DOLLARS = "dollars"


@dataclass(frozen=True, slots=True)
class Caps:
    """What one task may use of the model, over all its rounds and attempts.

    A turn is an answered call. `max_tokens` counts what goes in and what comes out, cached or
    not; None is no cap of its own.
    """

    max_turns: int
    max_budget_usd: float
    max_tokens: int | None = None

    def limit(self, cap: Cap) -> float:
        """Give what this cap is set to; infinity when it is not set.

        >>> Caps(max_turns=3, max_budget_usd=0.5).limit(Cap.TOKENS)
        inf
        """
        match cap:
            case Cap.TURNS:
                return self.max_turns
            case Cap.DOLLARS:
                return self.max_budget_usd
            case Cap.TOKENS:
                return float("inf") if self.max_tokens is None else self.max_tokens

    def reached(self, used: Usage, share: float = 1.0) -> Cap | None:
        """Say which cap this usage has reached, or this share of it; None when there is none.

        >>> caps = Caps(max_turns=10, max_budget_usd=1.0)
        >>> caps.reached(Usage(turns=8)), caps.reached(Usage(turns=8), WRAP_UP)
        (None, <Cap.TURNS: 'turns'>)
        """
        return next((cap for cap in Cap if amount(used, cap) >= share * self.limit(cap)), None)

    def in_words(self, cap: Cap, used: Usage) -> str:
        """Say how much of a cap is used.

        >>> Caps(max_turns=10, max_budget_usd=1.5).in_words(Cap.TURNS, Usage(turns=8))
        '8 of 10 turns'
        """
        if cap is Cap.DOLLARS:
            return f"${used.cost_usd:,.2f} of ${self.max_budget_usd:,.2f}"
        return f"{amount(used, cap):,} of {self.limit(cap):,} {cap}"

    def as_told(self, cap: Cap, used: Usage) -> dict[str, str | float]:
        """Give what an event tells of a cap: which, how much of it is used, of how much."""
        return {"cap": cap.value, "used": amount(used, cap), "limit": self.limit(cap)}


OUTCOMES = {
    Cap.TURNS: AgentOutcome.MAX_TURNS,
    Cap.TOKENS: AgentOutcome.MAX_TOKENS,
    Cap.DOLLARS: AgentOutcome.MAX_BUDGET,
}
"""How a round ended that was stopped by a cap."""


def amount(used: Usage, cap: Cap) -> float:
    """Give the part of a usage that a cap is about.

    >>> amount(Usage(input_tokens=30, output_tokens=2), Cap.TOKENS)
    32
    """
    match cap:
        case Cap.TURNS:
            return used.turns
        case Cap.DOLLARS:
            return used.cost_usd
        case Cap.TOKENS:
            return used.input_tokens + used.output_tokens
