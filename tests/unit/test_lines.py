import secrets

import pytest

from codebot.telemetry.lines import PIECE, LineMasker
from codebot.telemetry.redaction import Redactor
from codebot.telemetry.token_shapes import MASK, mask_tokens
from fakes.tokens import PROOF, private_key

TOKEN = PROOF["ghp"]


def masked(text: str) -> str:
    mask = LineMasker(Redactor())
    return "".join(piece for line in text.splitlines(keepends=True) for piece in mask(line))


@pytest.mark.parametrize("indent", ["", "    "])
@pytest.mark.parametrize("headers", ["", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES,00\n\n"])
def test_a_private_key_that_is_printed_line_by_line_is_masked(indent: str, headers: str) -> None:
    key = private_key()
    printed = key.replace("-----\n", f"-----\n{headers}", 1)
    printed = "".join(f"{indent}{line}" for line in printed.splitlines(keepends=True))
    shown = masked(f"before\n{printed}after\nplain\n")
    assert [line for line in key.splitlines()[1:-1] if line in shown] == []
    assert shown.startswith("before\n")
    assert shown.endswith("-----END RSA PRIVATE KEY-----\nafter\nplain\n")


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\ndone\nok\n",
        "looking for -----BEGIN PRIVATE KEY-----\nNote: none\nfound\n",
        "-----BEGIN CERTIFICATE-----\n" + "A" * 64 + "\n-----END CERTIFICATE-----\n",
        "A" * 64 + "\n",
    ],
)
def test_lines_that_are_of_no_key_stay(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("quote", ['"', " ", "\\n"])
def test_a_token_where_a_long_line_is_cut_is_masked(quote: str) -> None:
    for before in range(PIECE - len(TOKEN) - 2, PIECE, 7):
        shown = masked(f"{'x' * before}{quote}{TOKEN}{quote}{'y' * 100}")
        assert TOKEN[-8:] not in shown
        assert MASK in shown


def test_a_long_line_comes_in_pieces_and_whole() -> None:
    line = secrets.token_hex(2 * PIECE) + "\n"
    pieces = list(LineMasker(mask_tokens)(line))
    assert len(pieces) > 3
    assert "".join(pieces) == line


def test_an_empty_line_stays_an_empty_line() -> None:
    assert masked("\n\n") == "\n\n"
