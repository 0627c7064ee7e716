"""What tokens look like whose value nobody knows: shapes that no ordinary text has.

A commit id, a UUID, a word with dashes in it, an image in Base64 stay as they are: each kind here
has a beginning that its issuer chose to be recognised by, and none starts inside of a word.

Every pattern begins with letters that must be there; a look at what stands before comes after
them. A line without any such letters is passed over in 2 µs, as all are looked for at once; 1 MB
takes 70 ms. No pattern can match a part in two ways, so the time grows with the text alone,
whatever it holds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ahocorasick_rs import BytesAhoCorasick, Implementation

MASK = "***"


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of token. `shown` is what is left of one: a template for `re.sub`.

    `begins`: in whatever the pattern finds stands one of these, letter by letter.
    `holds`: in whatever it finds stands this, too; a text without it is not searched.
    `is_proof`: whatever looks like this is worth something to whoever finds it.
    """

    kind: str
    pattern: re.Pattern[str]
    begins: Sequence[str]
    shown: str = MASK
    is_proof: bool = True
    holds: str = ""


_NO_LETTERS = (
    r"\\[nrt]",  # a line that ended, escaped: what tools print comes in JSON
    r"\\u[0-9A-Fa-f]{4}",
    r"%[0-9A-Fa-f]{2}",
    r"[0-9;\[][mK]",  # a colour that was set
)
"""What looks like letters before a token and belongs to no word."""


def _word(
    kind: str,
    beginning: str,
    rest: str,
    *,
    begins: Sequence[str] = (),
    is_proof: bool = True,
    holds: str = "",
) -> Shape:
    """Give a shape that is not the end of a longer word; `beginning` has a fixed length.

    It is a single text but for what has to be escaped, unless `begins` are given.
    """
    whole = rf"(?<![A-Za-z0-9]{beginning})"
    apart = "|".join([whole, *(f"(?<={before}{beginning})" for before in _NO_LETTERS)])
    pattern = re.compile(f"{beginning}(?:{apart}){rest}")
    return Shape(
        kind, pattern, begins or (beginning.replace("\\", ""),), is_proof=is_proof, holds=holds
    )


def _after_name(kind: str, name: str, value: str, begins: Sequence[str]) -> Shape:
    """Give a shape that is known by the name it is given; the name stays."""
    return Shape(kind, re.compile(f"({name}){value}"), begins, rf"\1{MASK}")


_AWS_NAME = r".{0,20}?(?i:key|pwd|pw|password|pass|token).{0,20}?"
_FORTY_LETTERS = r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"

_URL_PASSWORD = Shape(
    "password in a URL",
    # Not where a program fills it in: {password}, ${PASSWORD}, %s, <password>, ***
    re.compile(r"""(://[^\s/?#@:"'<>\\]{0,256}+:)(?![${<*]|%[s(])[^\s/?#@"'<>\\]{1,512}+@"""),
    ("://",),
    rf"\1{MASK}@",
    is_proof=False,
)

_FRAME = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_BETWEEN = r"(?:\\+[nrt]|-(?!----)|[^A-Za-z0-9+/=\\-]){0,40}+"
"""Between two lines of a key: the end of one, also escaped for JSON; quotes; what indents them."""
_HEADER = rf"{_BETWEEN}(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n\\]{{0,100}}+"
_FIRST_LINE = rf"{_BETWEEN}[A-Za-z0-9+/=]{{40,}}+"
_LINE = rf"{_BETWEEN}[A-Za-z0-9+/=]{{16,}}+"
_LAST_LINE = rf"{_BETWEEN}[A-Za-z0-9+/=]{{1,15}}+(?={_BETWEEN}\+?-----END)"

_PRIVATE_KEY = Shape(
    "private key",
    re.compile(rf"(-----BEGIN {_FRAME})(?:{_HEADER})*+{_FIRST_LINE}(?:{_LINE})*+(?:{_LAST_LINE})?"),
    ("-----BEGIN ",),
    rf"\1{MASK}",
)

SHAPES = (
    _word(
        "GitHub token",
        "gh[pousr]_",
        r"[A-Za-z0-9_]{20,255}",
        begins=("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    ),
    _word("GitHub token", "github_pat_", r"[A-Za-z0-9_]{22,255}"),
    _word("GitLab token", "glpat-", r"[\w-]{20,255}"),
    _word("Anthropic key", "sk-ant-", r"[\w-]{20,255}"),
    _word("OpenAI key", "sk-", r"(?:proj|svcacct|admin)-[\w-]{20,255}"),
    # So short a beginning comes up in every 25 MB of Base64 for URLs, after `-` or `_`.
    _word("OpenAI key", "sk-", r"(?<![A-Za-z0-9][_-]sk-)[A-Za-z0-9]{32,255}\b"),
    _word("Google API key", "AIza", r"[\w-]{35}(?![\w-])"),
    _word(
        "AWS access key",
        "A",
        r"(?:3T[A-Z0-9]|BIA|CCA|KIA|SIA)[A-Z0-9]{16}\b",
        begins=("A3T", "ABIA", "ACCA", "AKIA", "ASIA"),
    ),
    _after_name("AWS secret key", f"ws(?<=[aA]ws){_AWS_NAME}", _FORTY_LETTERS, ("aws", "Aws")),
    _after_name("AWS secret key", f"WS(?<=[aA]WS){_AWS_NAME}", _FORTY_LETTERS, ("aWS", "AWS")),
    _word("Slack token", "xox[a-zA-Z]-", r"[A-Za-z0-9-]{10,255}", begins=("xox",)),
    _word("Slack token", "xapp-", r"[A-Za-z0-9-]{20,255}"),
    _word("Slack webhook", r"hooks\.slack\.com/services/", r"T\w{1,40}/B\w{1,40}/\w{8,64}"),
    _word("npm token", "npm_", r"[A-Za-z0-9]{36}\b"),
    _word("PyPI token", "pypi-", r"[\w-]{50,1000}"),
    _word("Stripe key", "sk_live_", "[A-Za-z0-9]{16,255}"),
    _word("Stripe key", "rk_live_", "[A-Za-z0-9]{16,255}"),
    _word("SendGrid key", r"SG\.", r"[\w-]{22}\.[\w-]{43}"),
    _word("Square secret", "sq0csp-", r"[\w-]{43}"),
    _word(
        "JSON Web Token",
        "eyJ",
        r"[\w-]{8,4000}+\.eyJ[\w-]{2,8000}+\.[\w-]*+",
        is_proof=False,
        holds=".eyJ",
    ),
    _URL_PASSWORD,
    _PRIVATE_KEY,
)
"""Every kind there is. Two prove nothing: a JSON Web Token may be a sample, or have expired long
ago, and the password in a URL may be that of `postgres:postgres`."""


def mask_tokens(text: str) -> str:
    """Give the text with everything masked that has the shape of a token.

    >>> mask_tokens("git clone https://me:hunter2@git.example/shop")
    'git clone https://me:***@git.example/shop'
    """
    for shape in _begun_in(text):
        if shape.holds in text:
            text = shape.pattern.sub(shape.shown, text)
    return text


def _begun_in(text: str) -> Sequence[Shape]:
    """Give the shapes of which a beginning stands in the text; no mask makes another one.

    A long text may hold so many that listing them takes longer than looking for every shape.
    """
    if len(text) > _SHORT:
        return SHAPES
    data = text.encode(errors="surrogatepass")
    found = _BEGINNINGS.find_matches_as_indexes(data, overlapping=True)
    begun = {_BEGUN[number] for number, _, _ in found}
    return [SHAPES[number] for number in sorted(begun)]


_SHORT = 16 * 1024
_BEGUN = [number for number, shape in enumerate(SHAPES) for _ in shape.begins]
_BEGINNINGS = BytesAhoCorasick(
    (begin.encode() for shape in SHAPES for begin in shape.begins),
    implementation=Implementation.ContiguousNFA,
)


def mask_tokens_in_any_case(text: str) -> str:
    """Give a short text masked where something has the shape of a token but for its case."""
    for pattern, shown in _in_any_case():
        text = pattern.sub(shown, text)
    return text


@cache
def _in_any_case() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(one.pattern.pattern, re.IGNORECASE), one.shown) for one in SHAPES)
