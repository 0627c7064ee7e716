"""What an answer without a result means: later, or never while nobody pays."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from codebot.domain.outcome import ModelRefusal

LIMITS = frozenset({429, 503, 529})
"""Statuses that say "later", whoever gives them and whatever stands in their body."""

LONGEST_TOLD = timedelta(days=1)
SAT_OUT = timedelta(minutes=1)
"""A longer pause is not the agent's to sit out: its run is postponed."""

_PAYMENT_REQUIRED = 402
_MAY_BE_UNPAID = frozenset({400, 403, 429})
_KINDS = frozenset(
    {"billing_error", "budget_exceeded", "insufficient_quota", "exceeded_current_quota_error"}
)
_WORDS = re.compile(
    r"credit balance|balance is too low|insufficient[ _](?:credit|balance|funds|quota)"
    r"|(?:out of|no|not enough|more) credits?|(?:budget|quota|spend(?:ing)? limit)"
    r"(?: has been| was| is)? exceeded|exceeded \w+ (?:\w+ )?(?:quota|budget)|exceededbudget"
    r"|over (?:its |your |the )?budget|payment required|usage limits",
    re.IGNORECASE,
)
"""Anthropic's own refusal has no other mark than its sentence, and every gateway has its own."""

_LONGEST_QUOTE = 500


@dataclass(frozen=True, slots=True)
class Told:
    """The words of an error, and the words that programs go by."""

    message: str = ""
    kinds: frozenset[str] = frozenset()


def read_refusal(
    status: int, headers: Mapping[str, str], body: bytes, now: datetime
) -> ModelRefusal | None:
    """Say what an answer means beyond its status; None for one that means nothing more."""
    told = _told(body)
    if status == _PAYMENT_REQUIRED or (status in _MAY_BE_UNPAID and _is_unpaid(status, told)):
        said = " ".join(told.message.split())[:_LONGEST_QUOTE]
        return ModelRefusal(status, is_unpaid=True, said=said)
    if status in LIMITS:
        return ModelRefusal(status, pause=pause_told(headers.get("retry-after", ""), now))
    return None


def pause_told(text: str, now: datetime) -> timedelta | None:
    """Read `Retry-After`, seconds or a date; None where it says nothing.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after

    >>> pause_told("7", datetime(2026, 1, 1, tzinfo=UTC))
    datetime.timedelta(seconds=7)
    >>> pause_told("Thu, 01 Jan 2026 00:01:00 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    datetime.timedelta(seconds=60)
    """
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text.strip()):
        pause = timedelta(seconds=min(float(text[:12]), LONGEST_TOLD.total_seconds()))
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        pause = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(pause, timedelta(0)), LONGEST_TOLD)


def _is_unpaid(status: int, told: Told) -> bool:
    """Say whether nobody pays; of a limit only where programs are told so."""
    return bool(told.kinds & _KINDS) or (
        status not in LIMITS and _WORDS.search(told.message) is not None
    )


def _told(body: bytes) -> Told:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return Told()
    error = said.get("error", said) if isinstance(said, dict) else None
    if isinstance(error, str):
        return Told(error)
    if not isinstance(error, dict):
        return Told()
    kinds = (error.get(name) for name in ("type", "code"))
    message = error.get("message")
    return Told(
        message if isinstance(message, str) else "",
        frozenset(kind.lower() for kind in kinds if isinstance(kind, str)),
    )
