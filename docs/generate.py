"""Writes the parts of the documents that follow from the code, each between two markers.

    .venv/bin/python docs/generate.py             write them
    .venv/bin/python docs/generate.py --check     only say which pages are out of date (exit 1)

A page names a part by `<!-- begin NAME -->` and `<!-- end NAME -->`; what stands between is
written here, everything else by people.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

from codebot import errors
from codebot.cli.parser import build_parser
from codebot.intake.problems import http_status
from codebot.settings import settings_reference

DOCS = Path(__file__).resolve().parent
SYMPTOMS = "howto/troubleshooting.md"
_PART = re.compile(r"(?s)<!-- begin (?P<name>\S+) -->\n.*?<!-- end (?P=name) -->\n")


def write(pages: Path, *, check: bool) -> list[Path]:
    """Bring every page below `pages` up to date; give those that were not.

    With `check` nothing is written. A part that nobody knows raises `KeyError`.
    """
    stale = []
    for page in sorted(pages.rglob("*.md")):
        old = page.read_text()
        new = _PART.sub(_part, old)
        if new != old:
            stale.append(page)
            if not check:
                page.write_text(new)
    return stale


def _part(found: re.Match[str]) -> str:
    name = found["name"]
    return f"<!-- begin {name} -->\n{PARTS[name]().strip()}\n<!-- end {name} -->\n"


def commands() -> str:
    """Give every command with its flags, from the parser that reads the command line.

    Not its help as printed: the layout of that differs between versions of Python.
    """
    return "\n".join(_command(name, each) for name, each in _parsers(build_parser()))


def _parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to its commands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    shown = [
        action
        for action in parser._actions  # noqa: SLF001 - as above
        if action.help != argparse.SUPPRESS and action.dest != "help"
    ]
    rows = "\n".join(map(_flag_row, shown))
    table = f"\n| Flag | |\n|---|---|\n{rows}\n" if rows else ""
    return f"## codebot {name}\n\n{parser.description}\n{table}"


def _flag_row(action: argparse.Action) -> str:
    shown = " ".join(word for word in (*action.option_strings[:1], action.metavar) if word)
    return f"| `{shown}` | {(action.help or '') % ()} |"


def error_codes() -> str:
    """Give every error as a row: what it means, and the symptom that people know it by."""
    symptoms = _symptoms((DOCS / SYMPTOMS).read_text())
    rows = (_error_row(kind, symptoms[kind.code]) for kind in _tree(errors.CodebotError))
    return "\n".join(("| Code | HTTP | Meaning | Symptom |", "|---|---|---|---|", *rows))


def _tree(kind: type[errors.CodebotError]) -> Iterator[type[errors.CodebotError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__ == errors.__name__:
            yield from _tree(narrower)


def _symptoms(page: str) -> dict[str, str]:
    """Give the heading that each code stands under, in a line `Codes: ...`."""
    found: dict[str, str] = {}
    for heading, codes in re.findall(r"(?m)^### (.+)\n\nCodes: (.+)$", page):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", codes), heading)
    return found


def _error_row(kind: type[errors.CodebotError], symptom: str) -> str:
    is_answer = kind is errors.CodebotError or http_status(kind) != HTTPStatus.INTERNAL_SERVER_ERROR
    status = str(http_status(kind)) if is_answer else ""
    link = f"[{symptom}](../{SYMPTOMS}#{anchor(symptom)})"
    return f"| `{kind.code}` | {status} | {_meaning(kind)} | {link} |"


def _meaning(kind: type[errors.CodebotError]) -> str:
    """Give what the class says of itself to people: up to where it speaks of its attributes."""
    if kind is errors.CodebotError:
        return "Codebot itself failed: a bug of ours."
    told = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return f"{re.split(r'; `|[.](?: |$)', told, maxsplit=1)[0]}."


def anchor(heading: str) -> str:
    """Give the name by which GitHub links to a heading.

    >>> anchor('503, or `/health` says "unhealthy"')
    '503-or-health-says-unhealthy'
    """
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def example(name: str) -> str:
    """Give a program of `examples/` as a block of code."""
    return f"```python\n{(DOCS / 'examples' / name).read_text().strip()}\n```\n"


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "error-codes": error_codes,
    "settings": settings_reference,
    "submit_task.py": lambda: example("submit_task.py"),
}


def main() -> int:
    """Do what the command line asks for; 1 says that a page was out of date under --check."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documents.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    check: bool = parser.parse_args().check
    stale = write(DOCS, check=check)
    for page in stale:
        sys.stdout.write(f"{page.relative_to(DOCS.parent)} {'is stale' if check else 'written'}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
