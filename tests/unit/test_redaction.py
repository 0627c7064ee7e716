import base64
import json
import os
import secrets
import sys
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.secret import Secret
from codebot.telemetry.redaction import MASK, SHORTEST, Redactor
from fakes.tokens import private_key

LONG_TOKEN = "ghs_cAnArYtOkEn1234567890"
TOKEN = 'gh"s_/a b+ü\\9'  # everything an encoding may change


@pytest.mark.parametrize(
    "spelling",
    [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe=""),
        json.dumps(TOKEN),
        json.dumps(TOKEN, ensure_ascii=False),
        json.dumps(json.dumps(TOKEN)),
        repr(TOKEN),
        base64.b64encode(TOKEN.encode()).decode(),
        base64.urlsafe_b64encode(TOKEN.encode()).decode(),
        base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_usual_spelling(spelling: str) -> None:
    text = Redactor([Secret(TOKEN)])(f"before {spelling} after")

    assert MASK in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    for part in ("gh", "x-access", "ü"):
        assert part not in text


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    redact = Redactor(["token-1", "token-1-and-more"])

    assert redact("token-1-and-more token-1") == f"{MASK} {MASK}"


def test_every_line_of_a_private_key_is_masked_but_not_its_frame() -> None:
    lines = [secrets.token_urlsafe(48) for _ in range(3)]
    pem = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])
    redact = Redactor([pem])

    assert redact(f"a {lines[1]} b") == f"a {MASK} b"
    assert redact("-----BEGIN RSA PRIVATE KEY-----") == "-----BEGIN RSA PRIVATE KEY-----"


def test_a_secret_too_short_to_be_one_masks_nothing() -> None:
    redact = Redactor(["a" * (SHORTEST - 1), ""])

    assert redact("a banana, aaa") == "a banana, aaa"


def test_a_forgotten_secret_is_shown_again() -> None:
    redact = Redactor(["run-token-1", "run-token-2"])
    redact.remove(Secret("run-token-1"))
    redact.remove("never known")

    assert redact("run-token-1 run-token-2") == f"run-token-1 {MASK}"


def test_a_json_like_value_keeps_its_shape() -> None:
    redact = Redactor(["hunter2"])

    assert redact.value({"hunter2": ["a hunter2", 7, None, {"b": ("hunter2", b"x")}]}) == {
        MASK: [f"a {MASK}", 7, None, {"b": [MASK, b"x"]}]
    }


@given(st.text(min_size=SHORTEST), st.text(), st.text())
def test_no_text_around_a_secret_keeps_it_from_being_masked(
    secret: str, before: str, after: str
) -> None:
    redact = Redactor([secret])

    parts = redact(before + secret + after).split(MASK)
    assert not any(secret in part for part in parts)


@given(st.text(st.characters(), min_size=SHORTEST), st.text(st.characters()))
def test_a_text_with_half_a_pair_in_it_is_masked_too(secret: str, before: str) -> None:
    assert secret not in Redactor([secret])(f"{before}\ud800{secret}\udfff").split(MASK)


def test_a_secret_that_is_no_utf_8_is_masked_too() -> None:
    given = b"a long pass\xffword"
    setting = os.fsdecode(given)  # as the environment gives it
    redact = Redactor([setting])

    spellings = (setting, "a%20long%20pass%FFword", base64.b64encode(given).decode())
    assert [redact(spelling) for spelling in spellings] == [MASK] * 3
    assert redact.is_betrayed_by(b"it is " + given)


@given(st.text(min_size=SHORTEST))
def test_a_host_is_masked_in_whichever_letters_it_was_asked_for(secret: str) -> None:
    redact = Redactor([secret])

    assert redact.in_any_case(secret) == redact(secret)
    if secret.isascii():
        assert redact.in_any_case(secret.swapcase()) == redact(secret)


@pytest.mark.parametrize("asked", ["SCHLÜSSEL-EINS.example", "schlüssel-eins.EXAMPLE"])
def test_letters_beyond_ascii_have_two_cases_as_well(asked: str) -> None:
    assert Redactor(["Schlüssel-Eins"]).in_any_case(f"ß.{asked}").startswith(f"ß.{MASK}.")


def test_tokens_that_come_and_go_leave_nothing_behind() -> None:
    redact = Redactor(secrets.token_urlsafe(32) for _ in range(5))
    _lend_tokens(redact, 10)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        _lend_tokens(redact, 20)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000


def test_a_token_costs_no_more_than_a_few_searches() -> None:
    redact = Redactor(secrets.token_urlsafe(32) for _ in range(50))

    started = time.process_time()
    _lend_tokens(redact, 20)
    assert time.process_time() - started < 0.4


def _lend_tokens(redact: Redactor, count: int) -> None:
    """Know one token after the other for as long as a run has it."""
    for _ in range(count):
        token = secrets.token_urlsafe(32)
        redact.add(token)
        assert redact(f"a {token}") == f"a {MASK}"
        assert redact.in_any_case(token.upper()) == MASK
        redact.remove(token)


def test_a_file_is_looked_at_while_tokens_come_and_go(switching_at_every_step: None) -> None:
    redact = Redactor(f"secret-{number}" for number in range(4000))
    with ThreadPoolExecutor(1) as thread:
        looks = [thread.submit(redact.is_betrayed_by, b"nothing") for _ in range(40)]
        while not looks[-1].done():
            redact.add("a-token")
            redact.remove("a-token")
    assert not any(look.result() for look in looks)


@pytest.fixture
def switching_at_every_step() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def test_a_megabyte_with_fifty_secrets_is_read_in_passing() -> None:
    known = [secrets.token_urlsafe(32) for _ in range(50)]
    redact = Redactor(known)
    text = secrets.token_urlsafe(750_000) + known[7]
    redact("compile")

    started = time.process_time()
    assert known[7] not in redact(text)
    assert time.process_time() - started < 0.6


@pytest.mark.parametrize(
    "form",
    [
        LONG_TOKEN.encode(),
        base64.b64encode(LONG_TOKEN.encode()),
        base64.b64encode(f"x-access-token:{LONG_TOKEN}".encode()),
    ],
)
@pytest.mark.parametrize("before", [0, 1024 * 1024 - 7, 3 * 1024 * 1024])
def test_a_file_betrays_a_secret_wherever_it_stands(form: bytes, before: int) -> None:
    redact = Redactor([LONG_TOKEN])
    assert redact.is_betrayed_by(b"\xff" * before + form + b"\n")
    assert not redact.is_betrayed_by(b"\xff" * before + form[:-4] + b"\n")


def test_a_short_secret_is_betrayed_by_no_file() -> None:
    assert not Redactor(["secret-key-1"]).is_betrayed_by(b"CODEBOT_API_KEYS=secret-key-1")


def test_the_frame_of_a_known_key_does_not_hide_another_key() -> None:
    redact = Redactor(["-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"])
    key = private_key()
    assert [line for line in key.splitlines()[1:-1] if line in redact(f"a key:\n{key}")] == []
