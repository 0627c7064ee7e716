import json
from datetime import UTC, datetime, timedelta

import pytest

from codebot.agent.refused import RETRY_LIMITED, by_its_reason
from codebot.domain.outcome import ModelRefusal
from codebot.errors import (
    AgentCrashed,
    AgentLimited,
    AgentTimedOut,
    ModelUnpaid,
)
from codebot.gateway.refusals import pause_told, read_refusal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITED = (429, 503, 529)


def error(message: str, **more: object) -> bytes:
    return json.dumps({"type": "error", "error": {"message": message, **more}}).encode()


@pytest.mark.parametrize("status", LIMITED)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Slow down</html>", b"null", b"[1]", b'{"error": "no"}', error("Overloaded")],
)
def test_a_limit_is_one_whatever_stands_in_its_body(status: int, body: bytes) -> None:
    assert read_refusal(status, {"retry-after": "7"}, body, NOW) == ModelRefusal(
        status, pause=timedelta(seconds=7)
    )
    assert read_refusal(status, {}, body, NOW) == ModelRefusal(status)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1.5", 1.5),
        ("9" * 400, 86400),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86400),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_a_pause_is_told_in_seconds_or_as_a_date(text: str, seconds: float | None) -> None:
    pause = pause_told(text, NOW)
    assert (pause and pause.total_seconds()) == (seconds or pause)
    assert (pause is None) == (seconds is None)


def test_a_pause_in_milliseconds_is_one() -> None:
    told = read_refusal(429, {"retry-after-ms": "1500"}, b"", NOW)
    assert told == ModelRefusal(429, pause=timedelta(seconds=1.5))
    both = {"retry-after": "7", "retry-after-ms": "7200"}
    assert read_refusal(529, both, b"", NOW) == ModelRefusal(529, pause=timedelta(seconds=7))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("Your credit balance is too low to access the Anthropic API.")),
        (400, error("You have reached your specified API usage limits.")),
        (402, b""),
        (402, b"<html>Pay</html>"),
        (402, error("Insufficient credits. Add more.")),
        (400, error("ExceededBudget: User=x over budget. Spend=10.1, Budget=10.0")),
        (400, error("Budget has been exceeded! Current cost: 10.1", type="budget_exceeded")),
        (429, error("You exceeded your current quota", code="insufficient_quota")),
        (403, error("You are out of credits.")),
        (400, b'{"error": "Insufficient balance"}'),
        (400, b'{"message": "quota exceeded"}'),
        (400, b'{"detail": "Insufficient credits"}'),
        (400, b'{"errors": [{"message": "insufficient funds"}]}'),
        (400, b'[{"error": {"message": "Your credit balance is too low"}}]'),
        (403, b"Insufficient balance"),
        (403, b"<html><h1>You are out of credits</h1></html>"),
        (403, error("no more of it", code="insufficient_user_quota")),
        (403, error("This API method requires billing to be enabled.")),
        (403, error("Key limit exceeded (total limit).")),
        (401, error("Your credit balance is too low.")),
        (422, error("Insufficient credits.")),
        (429, error("Insufficient balance or no resource package. Please recharge.")),
    ],
)
def test_no_credit_is_known_by_its_status_its_kind_or_its_words(status: int, body: bytes) -> None:
    refusal = read_refusal(status, {}, body, NOW)
    assert refusal is not None
    assert refusal.is_unpaid


def test_a_limit_and_a_bad_key_are_not_taken_for_want_of_credit() -> None:
    limited = read_refusal(429, {}, error("Quota exceeded: requests per minute."), NOW)
    assert limited == ModelRefusal(429)
    assert read_refusal(401, {}, error("Invalid key, see your billing page."), NOW) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500, 502])
def test_any_other_error_says_no_more_than_its_status(status: int) -> None:
    body = error("messages.0.content: the text about credits is too long")
    assert read_refusal(status, {"retry-after": "7"}, body, NOW) is None


def test_the_models_reason_goes_before_the_agents_words_for_it() -> None:
    crashed, slow = AgentCrashed("exit code 1"), AgentTimedOut("too slow")
    limited = by_its_reason(crashed, ModelRefusal(429, pause=timedelta(seconds=90)))
    unpaid = by_its_reason(AgentLimited("x"), ModelRefusal(400, is_unpaid=True, said="No credit."))

    assert (type(limited), limited.retry_after) == (AgentLimited, timedelta(seconds=90))
    assert by_its_reason(crashed, ModelRefusal(529)).retry_after == RETRY_LIMITED
    assert (type(unpaid), unpaid.retry_after) == (ModelUnpaid, None)
    assert "No credit" in unpaid.detail
    assert by_its_reason(crashed, None) is crashed
    assert by_its_reason(slow, ModelRefusal(429)) is slow
