"""Why GitHub said no, in its own words: several forms of answer, none of them to be relied on.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST_QUOTE = 4000
"""Characters that are shown: whole answers, but no page of somebody's proxy."""

LONGEST_WORDS = 500
"""Characters of what is no JSON; more of it is a page."""

_SAYING = ("message", "error", "error_description", "detail", "reason", "title")
_ABOUT = frozenset({"resource", "value", "documentation_url"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer says: its message, each finding as a text, and where GitHub explains it."""

    message: str = ""
    findings: tuple[str, ...] = ()
    explained_at: str = ""

    @property
    def words(self) -> str:
        """All of it in one line, "" where nothing is said.

        >>> Refusal("Validation Failed", ("base: invalid",)).words
        'Validation Failed (base: invalid)'
        """
        found = "; ".join(text for text in self.findings if text not in self.message)
        said = f"{self.message} ({found})" if self.message and found else self.message or found
        line = " ".join(said.split())
        return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}..."


def read_refusal(content: bytes) -> Refusal:
    """Read an answer's body, whatever is in it; a page, which nobody can read in a line, is none.

    Whoever stands before GitHub has other names for its message, or says it in plain words.
    """
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        words = content[: LONGEST_WORDS + 1].decode(errors="replace").strip()
        return Refusal() if len(words) > LONGEST_WORDS or "<" in words else Refusal(words)
    if isinstance(said, str):
        return Refusal(said.strip())
    if not isinstance(said, dict):
        return Refusal()
    findings = tuple(dict.fromkeys(_findings(said.get("errors"))))
    message = next(filter(None, (_text(said.get(name)) for name in _SAYING)), "")
    return Refusal(message, findings, _text(said.get("documentation_url")))


def _findings(errors: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    for error in errors if isinstance(errors, list) else [errors]:
        if text := _finding(error) if isinstance(error, dict) else _text(error):
            yield text


def _finding(error: dict[str, Any]) -> str:
    """Give one finding: its sentence where it has one, else the field and GitHub's word for it."""
    field, code, message = (_text(error.get(name)) for name in ("field", "code", "message"))
    said = message or code
    if not (field or said):  # as Rails writes them: each field with its sentences
        return "; ".join(f"{name}: {words}" for name, words in _by_field(error))
    return f"{field}: {said}" if field and said and field not in message else said or field


def _by_field(error: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, told in error.items():
        words = ", ".join(filter(None, map(_text, told if isinstance(told, list) else [told])))
        if words and name not in _ABOUT:
            yield name, words


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
