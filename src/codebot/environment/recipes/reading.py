"""Files of strangers as data, at a cost that does not outgrow their size. Pure.

Each function raises `Unreadable`, whose words complete the sentence "FILE ...".
"""

import json
import re
import tomllib
from typing import Any

import yaml

LONGEST_TEXT = 128 * 1024
"""Characters; nobody writes more than that to say how a repository is set up."""

MOST_DOTS = 100
"""In one line of TOML, outside of strings. Of a name with n dots tomllib makes n² bytes and more:
gigabytes of one with 50,000."""

MOST_BRACKETS = 2_000
"""In YAML, which takes n² steps for n of them that are open: seconds for 60,000."""

_QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'')
_NO_JSON = re.compile(
    r'(?P<string>"(?:\\.|[^"\\])*(?:"|\Z))|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[}\]])', re.DOTALL
)
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


class Unreadable(ValueError):
    """A file cannot be read as what its name says."""


def read_toml(text: str) -> dict[str, Any]:
    """Read TOML.

    >>> read_toml("a = ]")
    Traceback (most recent call last):
        ...
    codebot.environment.recipes.reading.Unreadable: is no TOML (line 1: Invalid value)
    """
    _check_length(text)
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MOST_DOTS and _QUOTED.sub("", line).count(".") > MOST_DOTS:
            raise Unreadable(f"has a name of more than {MOST_DOTS} parts in line {number}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise Unreadable(f"is no TOML ({_toml_reason(str(exc), text)})") from None
    except (ValueError, RecursionError):
        raise Unreadable("is no TOML that can be read") from None


def _toml_reason(message: str, text: str) -> str:
    at = _AT_LINE.search(message)
    line = at[1] if at else len(text.splitlines()) or 1
    words = message.partition(" (at ")[0]
    return f"line {line}: {words}"


def read_json(text: str) -> Any:  # noqa: ANN401 - JSON
    """Read JSON as people write it: with comments, and with commas before a closing bracket.

    >>> read_json('{"a": "//", /* here */ "b": [1, 2,], } // end')
    {'a': '//', 'b': [1, 2]}
    """
    _check_length(text)
    plain = _NO_JSON.sub(lambda found: found["string"] or " ", text.removeprefix("\ufeff"))
    try:
        return json.loads(plain)
    except json.JSONDecodeError as exc:
        raise Unreadable(f"is no JSON ({exc.msg})") from None
    except (ValueError, RecursionError):
        raise Unreadable("is no JSON that can be read") from None


def read_yaml(text: str) -> Any:  # noqa: ANN401 - YAML
    """Read YAML; every scalar stays a text, and what an alias repeats is there once."""
    _check_length(text)
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise Unreadable(f"has more than {MOST_BRACKETS:,} brackets")
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and tables
    except yaml.MarkedYAMLError as exc:
        line = "" if exc.problem_mark is None else f"line {exc.problem_mark.line + 1}: "
        raise Unreadable(f"is no YAML ({line}{exc.problem})") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        raise Unreadable("is no YAML that can be read") from None


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise Unreadable(f"has more than {LONGEST_TEXT:,} characters")
