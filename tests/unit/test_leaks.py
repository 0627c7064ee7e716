import secrets
import time

import pytest

from codebot.telemetry.token_shapes import mask_tokens
from codebot.workspace.leaks import (
    MOST_LEAKS,
    OVERLAP,
    PIECE,
    Leak,
    ScanTooSlow,
    find_leaks,
    load_rules,
)
from fakes.tokens import HINTS, LETTERS, ORDINARY, PROOF, letters, private_key

LATER = time.monotonic() + 3600


def leaks(text: str) -> list[Leak]:
    return find_leaks(text.encode(), LATER)


@pytest.mark.parametrize("token", PROOF.values(), ids=PROOF.keys())
def test_a_token_is_found_with_its_line_and_never_shown(token: str) -> None:
    found = leaks(f"one\ntwo\nx = '{token}'\n")
    assert {leak.line for leak in found} == {3}
    for leak in found:
        assert token[-12:] not in leak.shown
        assert token[-12:] not in repr(leak)


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH "])
def test_a_private_key_is_found_in_a_file_and_in_code(kind: str) -> None:
    key = private_key(kind)
    in_code = "\n".join(f'    "{line}\\n"' for line in key.splitlines())
    for text in (key, in_code, key.replace("\n", "\r\n"), key.replace("\n", "\\n")):
        found = leaks(f"# a key\n{text}")
        assert {leak.line for leak in found} == {2}
        assert all(leak.shown == "***" for leak in found)


@pytest.mark.parametrize("text", [*ORDINARY, *HINTS.values(), "postgres://postgres:postgres@db/x"])
def test_ordinary_text_holds_no_credential(text: str) -> None:
    assert leaks(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
        "ghp_" + "x" * 36,
        "ghp_" + "1234567890" * 3 + "123456",
        "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789",
        "npm_" + "0" * 36,
        "sk_live_" + "your0key0goes0here0please",
        "AKIA" + "ABCDEFGHIJKLMNOP",
    ],
)
def test_what_was_never_anybodys_is_passed_over(text: str) -> None:
    assert leaks(f"x = '{text}'") == []


@pytest.mark.parametrize(
    "comment",
    ["# pragma: allowlist secret", "// pragma: whitelist secret", "# nosec", "# gitleaks:allow"],
)
def test_no_comment_switches_the_rules_off(comment: str) -> None:
    token = PROOF["ghp"]
    assert leaks(f"x = '{token}'  {comment}")
    assert leaks(f"{comment}\nx = '{token}'")


def test_the_word_example_beside_a_token_excuses_nothing() -> None:
    assert leaks(f"example_for_a_test = '{PROOF['ghp']}'")
    assert leaks(f"aws-example-key={letters(40)}")
    assert leaks(f"aws_example_key_{letters(40)}")


@pytest.mark.parametrize("before", [PIECE - 50, PIECE - 1, PIECE, PIECE + OVERLAP - 3, 3 * PIECE])
def test_a_token_is_found_wherever_it_stands(before: int) -> None:
    text = "\n" + "x " * (before // 2) + PROOF["ghp"] + "\n"
    assert [leak.line for leak in leaks(text)] == [2]


def test_a_binary_hides_nothing_and_is_no_credential() -> None:
    noise = secrets.token_bytes(300_000)
    assert find_leaks(noise, LATER) == []
    assert find_leaks(noise + b"\0" + PROOF["ghp"].encode() + b"\0" + noise, LATER)


@pytest.mark.parametrize("alphabet", ["+/", "-_"])
def test_an_image_in_base64_holds_no_credential(alphabet: str) -> None:
    image = letters(3_000_000, LETTERS + alphabet)
    assert leaks(f'"image/png": "{image}"') == []
    assert mask_tokens(image) == image


def test_no_more_is_told_than_anybody_reads() -> None:
    text = "\n".join("ghp_" + letters(36, seed=number) for number in range(500))
    assert len(leaks(text)) == MOST_LEAKS


def test_a_scan_ends_when_its_time_is_up() -> None:
    with pytest.raises(ScanTooSlow):
        find_leaks(b"x", time.monotonic() - 1)


def test_ten_thousand_lines_are_looked_through_in_passing() -> None:
    lines = "\n".join(f"    value_{n} = compute(some_name, {n})  # why" for n in range(10_000))
    load_rules()
    started = time.process_time()
    assert leaks(lines) == []
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("token", PROOF.values(), ids=PROOF.keys())
def test_what_is_refused_is_also_masked(token: str) -> None:
    for leak in leaks(token):
        assert leak.value not in mask_tokens(token)


def test_the_maintained_rules_are_in_use() -> None:
    kinds = {rule.kind for rule in load_rules() if not rule.is_ours}
    assert {"AWS Access Key", "GitHub Token", "Private Key", "Slack Token"} <= kinds
