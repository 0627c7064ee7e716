"""Lines that speak for people: who signed, reviewed, tested. An agent signs for nobody.

They are known as people read them, whatever the case, the spaces, the kind of dash or letters of
other alphabets that look the same. https://git-scm.com/docs/git-interpret-trailers
"""

import re
import unicodedata
from collections.abc import Iterator

LONGEST_LINE = 500
"""Characters of a line that are looked at; no name is longer."""

_FOR_PEOPLE = frozenset(
    {"cc", "bcc", "on-behalf-of", "author", "authors", "signed-off", "sign-off", "signoff"}
    | {"co-author", "co-authors", "coauthor", "coauthors", "reviewer", "reviewers", "reviewed"}
    | {"approver", "approvers", "approved", "acked", "thanks-to"}
)
_DEEDS = frozenset(
    {"signed", "off", "reviewed", "acked", "acknowledged", "tested", "co", "authored", "coauthored"}
    | {"developed", "codeveloped", "reported", "suggested", "approved", "helped", "verified"}
    | {"requested", "mentored", "and"}
)
"""What somebody does `by`: written apart, only these are no ordinary sentence."""

_LOOKS_LIKE = str.maketrans(
    "аеорсухіѕјԁһвнкмтьпгαορνιτυβεκηıɡո：﹕꞉∶ː",  # noqa: RUF001 - that is the point
    "aeopcyxisjdhbhkmtbnraopvitybeknign:::::",
)
_DASHES = re.compile(r"\s*[-_\u2010-\u2015\u2212\u30fb]+\s*")
_DECORATION = re.compile(
    r"[*`~]|</?[a-z][^<>@:]*>|^(?:\[[ x]\]|\d+[.)](?=\s)|[^\w<])+"  # of Markdown and HTML
)
_SEPARATOR = re.compile(
    r"(?:(?<=off-by)|(?<=authored-by)|(?<=reviewed-by)|(?<=acked-by)|(?<=tested-by))"
    r"(?:\s*=|\s+(?=[^:]*<[^<>\s/]+@[^<>\s/]+>))"
)
"""What some write for a colon."""
_MAIL = re.compile(r"<[^<>\s/]+@[^<>\s/]+>")


def without_trailers(message: str) -> str:
    r"""Give the message without the lines that speak for people, and what they are folded into.

    >>> without_trailers("Mend it\n\nSIGNED OFF BY : Linus\n  <l@example.org>\nRefs: #1")
    'Mend it\n\nRefs: #1'
    """
    return "\n".join(_kept(message.split("\n")))


def _kept(lines: list[str]) -> Iterator[str]:
    is_folded = False
    for line in lines:
        is_folded = _speaks_for_people(line) or (is_folded and line[:1] in {" ", "\t"})
        if not is_folded:
            yield line


def _speaks_for_people(line: str) -> bool:
    name, colon, rest = _SEPARATOR.sub(":", _as_read(line[:LONGEST_LINE]), 1).partition(":")
    name = _DASHES.sub("-", name.strip())
    if not colon or not name:
        return False
    words = name.replace(" ", "-").split("-")
    if words[-1] == "by" and len(words) > 1:
        return " " not in name or _DEEDS.issuperset(words[:-1])
    return "-".join(words) in _FOR_PEOPLE or (" " not in name and _MAIL.search(rest) is not None)


def _as_read(line: str) -> str:
    """Give a line as people read it: small letters, nothing that is not seen, no decoration."""
    text = unicodedata.normalize("NFKC", line).casefold()
    seen = "".join(letter for letter in text if unicodedata.category(letter) not in {"Cf", "Mn"})
    return _DECORATION.sub("", seen.translate(_LOOKS_LIKE))
