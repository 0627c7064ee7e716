import base64
import json
import secrets
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.secret import Secret
from codebot.telemetry.redaction import MASK, SHORTEST, Redactor

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
