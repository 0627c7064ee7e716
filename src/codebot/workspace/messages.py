"""Commit messages as the bot signs them: the agent's words, without its advertising."""

import re

LONGEST_MESSAGE = 8000
"""Characters; more than that is not a message."""

_NOT_FOR_TEXT = re.compile(r"[^\S\n]+$|[\x00-\x08\x0b-\x1f\x7f]", re.MULTILINE)
_ADVERTISING = re.compile(
    r"^[^\w\n]*(?:co-authored-by:|generated-(?:with|by):|generated with \[|claude-session:"
    r"|generated (?:with|by) claude).*$\n?",
    re.IGNORECASE | re.MULTILINE,
)
_GAPS = re.compile(r"\n{3,}")


def clean_message(message: str, fallback: str) -> str:
    r"""Give a message fit to be committed: bounded, without trailers of tools and co-authors.

    >>> clean_message("Fix it\n\nCo-Authored-By: Claude <noreply@anthropic.com>\n", "-")
    'Fix it\n'
    """
    return f"{_cleaned(message) or _cleaned(fallback) or 'Change files'}\n"


def _cleaned(message: str) -> str:
    text = message[:LONGEST_MESSAGE].encode(errors="replace").decode()
    return _GAPS.sub("\n\n", _ADVERTISING.sub("", _NOT_FOR_TEXT.sub("", text))).strip()
