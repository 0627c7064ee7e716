"""Why GitHub said no, in its own words: several forms of answer, none of them to be relied on.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST_QUOTE = 4000
"""Characters that are shown: whole answers, but no page of somebody's proxy."""


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
    """Read an answer's body, whatever is in it; what is no JSON object says nothing."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return Refusal()
    if not isinstance(said, dict):
        return Refusal()
    findings = tuple(dict.fromkeys(_findings(said.get("errors"))))
    return Refusal(_text(said.get("message")), findings, _text(said.get("documentation_url")))


def _findings(errors: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    for error in errors if isinstance(errors, list) else [errors]:
        if text := _finding(error) if isinstance(error, dict) else _text(error):
            yield text


def _finding(error: dict[str, Any]) -> str:
    """Give one finding: its sentence where it has one, else the field and GitHub's word for it."""
    field, code, message = (_text(error.get(name)) for name in ("field", "code", "message"))
    said = message or code
    return f"{field}: {said}" if field and said and field not in message else said or field


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
