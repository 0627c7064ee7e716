import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codebot.telemetry.redaction import Redactor
from codebot.telemetry.token_shapes import MASK, SHAPES, mask_tokens
from fakes.tokens import HINTS, LETTERS, ORDINARY, PROOF, letters, private_key

TOKENS = PROOF | HINTS


def telling(token: str) -> str:
    """Give the part of a token that nobody may see."""
    return token[-16:]


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
@pytest.mark.parametrize(
    "around",
    [
        r'"a\n{}\nb"',
        "a%3D{}",
        "\x1b[1;31m{}\x1b[m",
        r"\u0022{}\u0022",
        "{}",
        "x = '{}';",
        "a={} b",
        "({})",
        '{{"k": "{}"}}',
        "\n{}\n",
    ],
)
def test_a_token_that_nobody_told_of_is_masked(token: str, around: str) -> None:
    masked = Redactor()(around.format(token))
    assert MASK in masked
    assert telling(token) not in masked
    before, _, after = around.format("|").partition("|")
    assert masked.startswith(before)
    assert masked.endswith(after)


def test_a_token_that_a_diff_takes_away_is_masked() -> None:
    assert mask_tokens(f"\n-{PROOF['ghp']}\n") == f"\n-{MASK}\n"


@pytest.mark.parametrize("alphabet", ["+/", "-_"])
def test_megabytes_of_base64_stay_as_they_are(alphabet: str) -> None:
    image = letters(5_000_000, LETTERS + alphabet, seed=1)
    assert mask_tokens(image) == image


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert mask_tokens(text) == text


def test_the_password_in_a_url_is_masked_and_the_rest_of_it_stays() -> None:
    text = "clone https://ada:hunter2@git.example/shop and postgres://app:p%40ss@db/x"
    assert mask_tokens(text) == "clone https://ada:***@git.example/shop and postgres://app:***@db/x"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("spell", [str, json.dumps, repr, lambda key: json.dumps(json.dumps(key))])
def test_no_line_of_a_private_key_is_left(kind: str, spell: object) -> None:
    assert callable(spell)
    key = private_key(kind)
    masked = mask_tokens(f"before {spell(key)} after")
    lines = key.splitlines()
    assert [line for line in lines[1:-1] if line in masked] == []
    assert lines[0] in masked
    assert lines[-1] in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_a_masked_key_leaves_json_that_can_be_read() -> None:
    line = json.dumps({"output": private_key(), "more": "x\\y"})
    assert json.loads(mask_tokens(line))["more"] == "x\\y"


def test_a_private_key_in_a_diff_in_code_and_with_headers_is_masked() -> None:
    key = private_key()
    diff = "\n".join(f"+{line}" for line in key.splitlines())
    code = "\n".join(f'    "{line}\\n"' for line in key.splitlines())
    headers = key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,00\n\n", 1)
    for text in (diff, code, headers, key.replace("\n", "\r\n")):
        masked = mask_tokens(text)
        assert [line for line in key.splitlines()[1:-1] if line in masked] == []


def test_a_private_key_that_is_cut_off_is_masked_as_far_as_it_goes() -> None:
    masked = mask_tokens(private_key()[:200] + "\nNo space left on device")
    assert masked == "-----BEGIN RSA PRIVATE KEY-----***\nNo space left on device"


@given(st.text(), st.sampled_from(sorted(PROOF.values())), st.text())
def test_no_text_after_a_token_keeps_it_from_being_masked(
    before: str, token: str, after: str
) -> None:
    assert telling(token) not in mask_tokens(f"{before} {token} {after}")


SEEDS = (
    *("a", "=", "-", "\\", "\\n", "\n", " ", "eyJ", "eyJ.", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ"),
    *("://", "://a:", "://a:b", "aws", "awskey", "AWS pw ", "aws key token ", "xoxb-", "xoxb-1-"),
    *(
        "SG.",
        "ghp_",
        "sk-",
        "sk-proj-",
        "A3TA",
        "AKIA",
        "pypi-",
        "npm_",
        "sk_live_",
        "Version: x\n",
    ),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\\n"),
    *("hooks.slack.com/services/T", "hooks.slack.com/services/T/B", "A" * 64 + "\n"),
)
LONG = 100_000


@pytest.mark.parametrize("before", ["", "-----BEGIN RSA PRIVATE KEY-----", "://", "eyJ"])
def test_hostile_text_takes_no_longer_than_its_length(before: str) -> None:
    for seed in SEEDS:
        text = before + seed * (LONG // len(seed))
        started = time.process_time()
        mask_tokens(text)
        assert time.process_time() - started < 0.5, seed


@settings(max_examples=50)
@given(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=4).map("".join))
def test_hostile_mixtures_take_no_longer_either(seed: str) -> None:
    text = seed * (LONG // len(seed))
    started = time.process_time()
    mask_tokens(text)
    assert time.process_time() - started < 0.5


def test_a_megabyte_of_ordinary_text_is_passed_over() -> None:
    text = "\n".join(ORDINARY[0:1] + ORDINARY[5:9]) * 2000 + letters(100_000)
    started = time.process_time()
    mask_tokens(text)
    assert time.process_time() - started < 0.3 * len(text) / 1e6 + 0.1


def test_every_shape_is_shown_by_a_token_of_its_own() -> None:
    texts = [*TOKENS.values(), private_key(), "https://a:b@c", "AWS_KEY=" + letters(40)]
    assert [s.kind for s in SHAPES if not any(s.pattern.search(text) for text in texts)] == []


@pytest.mark.parametrize(
    "token",
    [
        *(f"gh{kind}_{'a1' * 18}" for kind in "pousr"),
        *(f"{begin}{'A7' * 8}" for begin in ("A3TX", "ABIA", "ACCA", "AKIA", "ASIA")),
        *(f"{name}_secret_key={'aB3/' * 10}" for name in ("aws", "Aws", "aWS", "AWS")),
        *(f"xox{kind}-{'1a' * 10}" for kind in "abpZ"),
        *(f"-----BEGIN {kind}PRIVATE KEY-----\n{'aB3/' * 16}" for kind in ("", "RSA ")),
    ],
)
def test_a_token_is_masked_by_each_of_the_beginnings_it_may_have(token: str) -> None:
    assert MASK in mask_tokens(f"a {token}\n")


def test_a_line_without_a_token_takes_next_to_no_time() -> None:
    line = json.dumps({"event": "task.submitted", "task": letters(32, LETTERS, seed=2)})

    started = time.process_time()
    for _ in range(2000):
        mask_tokens(line)
    assert time.process_time() - started < 0.012


def test_a_text_with_half_a_pair_in_it_is_masked_too() -> None:
    assert mask_tokens(f"\ud800 {PROOF['ghp']}") == f"\ud800 {MASK}"
