"""What an answer without a result means: later, or never while nobody pays."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from codebot.domain.outcome import ModelRefusal

LIMITS = frozenset({429, 503, 529})
"""Statuses that say "later", whoever gives them and whatever stands in their body."""

LONGEST_TOLD = timedelta(days=1)
SAT_OUT = timedelta(minutes=1)
"""A longer pause is not the agent's to sit out: its run is postponed."""

PAYMENT_REQUIRED = 402
_MAY_BE_UNPAID = frozenset({400, 401, 403, 422, 429})
_IN_ANY_WORDS = frozenset({400, 403, 422})
_KINDS = re.compile(
    r"billing|budget_exceeded|exceeded_current_quota|arrearage|payment_required"
    r"|insufficient_(?:\w+_)?(?:quota|balance|credits?|funds)",
    re.IGNORECASE,
)
_CLEAR_WORDS = re.compile(
    r"credit balance|balance is too low|insufficient[ _](?:account )?(?:credit|balance|fund)"
    r"|(?:out of|no|not enough|more) credits?\b|credits? (?:has|have|is|are) (?:been )?(?:used up"
    r"|exhausted|depleted)|credits? (?:exhausted|depleted)|no payment method|payment required"
    r"|top up your|余额不足|额度不足|欠费",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"insufficient[ _]quota|(?:budget|quota|spend(?:ing)? limit|usage limit|key limit)"
    r"(?: has been| was| is)? (?:exceeded|reached)|exceeded \w+ (?:\w+ )?(?:quota|budget)"
    r"|exceededbudget|over (?:its |your |the )?budget|usage limits|\bbilling\b|in good standing",
    re.IGNORECASE,
)
"""Anthropic's own refusal has no other mark than its sentence, and every gateway has its own."""

_SAYING = ("message", "detail", "error_description", "msg", "title", "reason")
_NAMING = ("type", "code", "status")
_MARKUP = re.compile(r"<[^<>]*>")
_DEEPEST = 3

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
    if status == PAYMENT_REQUIRED or (status in _MAY_BE_UNPAID and _is_unpaid(status, told)):
        said = " ".join(told.message.split())[:_LONGEST_QUOTE]
        return ModelRefusal(status, is_unpaid=True, said=said)
    if status in LIMITS:
        return ModelRefusal(status, pause=_pause_in(headers, now))
    return None


def _pause_in(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Give the pause that an answer asks for; some name it in milliseconds beside, or instead."""
    told = pause_told(headers.get("retry-after", ""), now)
    if told is not None:
        return told
    milliseconds = pause_told(headers.get("retry-after-ms", ""), now)
    return None if milliseconds is None else milliseconds / 1000


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
    """Say whether nobody pays; of a limit, or a bad key, only by what can mean nothing else."""
    if any(map(_KINDS.search, told.kinds)) or _CLEAR_WORDS.search(told.message):
        return True
    return status in _IN_ANY_WORDS and _WORDS.search(told.message) is not None


def _told(body: bytes) -> Told:
    """Read an error in whatever form: the API's own, that of a gateway, a page, plain words."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return Told(_MARKUP.sub(" ", body.decode(errors="replace")))
    for _ in range(_DEEPEST):
        said = _inner(said)
    if isinstance(said, str):
        return Told(said)
    if not isinstance(said, dict):
        return Told()
    words = (said.get(name) for name in _SAYING)
    kinds = (said.get(name) for name in _NAMING)
    return Told(
        next((text for text in words if isinstance(text, str) and text), ""),
        frozenset(kind for kind in kinds if isinstance(kind, str)),
    )


def _inner(said: Any) -> Any:  # noqa: ANN401 - JSON
    """Give what an answer holds its error in: a field, or the first of a list."""
    match said:
        case [first, *_]:
            return first
        case {"error": (str() | dict() | list()) as error}:
            return error
        case {"errors": [first, *_]}:
            return first
        case {"detail": dict() as detail}:
            return detail
    return said
