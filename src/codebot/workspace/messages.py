"""Commit messages as the bot signs them: the agent's words, without signatures and advertising."""

import re
from collections.abc import Callable

from codebot.domain.trailers import without_trailers

LONGEST_MESSAGE = 8000
"""Characters; more than that is not a message."""

LONGEST_READ = 64 * 1024
"""Characters looked at, before any are cut: half a secret is still one."""

_NOT_FOR_TEXT = re.compile(r"(?<![^\S\n])[^\S\n]++$|[\x00-\x08\x0b-\x1f\x7f]", re.MULTILINE)
_ADVERTISING = re.compile(
    r"^[^\w\n]*(?:generated-with:|generated with \[|claude-session:"
    r"|generated (?:with|by) claude).*$\n?",
    re.IGNORECASE | re.MULTILINE,
)
_GAPS = re.compile(r"\n{3,}")


def clean_message(message: str, fallback: str, tame: Callable[[str], str] = str) -> str:
    r"""Give a message fit to be committed: bounded, without trailers of tools and for people.

    `tame` takes out of it what nobody may read, and what would act.

    >>> clean_message("Fix it\n\nCo-Authored-By: Claude <noreply@anthropic.com>\n", "-")
    'Fix it\n'
    """
    return f"{_cleaned(tame(message[:LONGEST_READ])) or _cleaned(fallback) or 'Change files'}\n"


def _cleaned(message: str) -> str:
    text = message[:LONGEST_MESSAGE].encode(errors="replace").decode()
    words = without_trailers(_NOT_FOR_TEXT.sub("", text))
    return _GAPS.sub("\n\n", _ADVERTISING.sub("", words)).strip()
