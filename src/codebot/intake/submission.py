"""From the bytes of a request to a checked task: every problem is named, all at once."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

from codebot.domain.naming import is_valid_branch, is_valid_ticket_id
from codebot.domain.repository import Repository
from codebot.domain.task import TaskRequest
from codebot.errors import FieldProblem, InvalidRequest, InvalidTask
from codebot.intake.repository_url import RepositoryRules, parse_repository_url

REQUIRED = ("repository_url", "description")
FROZEN = ("ticket_id", "ticket_summary", "test_command", "base_branch")
"""The optional fields of the surface that does not change; with the required ones there are six."""

OPTIONAL = (*FROZEN, "setup_command")
"""The optional fields at every other door."""

COMMANDS = ("test_command", "setup_command")

LONGEST_COMMAND = 100_000
"""In bytes. Linux takes no single argument of a command beyond 128 KiB."""

_MOST_PROBLEMS = 50
_LONGEST_NAME = 100


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object in UTF-8, strictly; raises `InvalidRequest` for anything else.

    A key given twice is refused: which of the two counts would be anyone's guess.
    """
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as exc:
        raise _bad_body("is not UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise _bad_body(f"is not JSON, at line {exc.lineno}, column {exc.colno}") from exc
    except (ValueError, RecursionError) as exc:
        raise _bad_body("nests too deeply, or holds a number that is too long") from exc
    if not isinstance(value, dict):
        raise _bad_body("is not a JSON object")
    return value


def task_request(
    fields: Mapping[str, Any], rules: RepositoryRules, *, optional: Sequence[str] = OPTIONAL
) -> TaskRequest:
    """Check the fields of a task, from whichever door; raises `InvalidTask` with all problems.

    `optional` are those that the door takes beside the required ones. One that is null or blank
    counts as not given: templates and shells produce that from a value that nobody set.
    """
    known = (*REQUIRED, *optional)
    given = {name: value for name, value in fields.items() if not _is_left_out(name, value, known)}
    problems = [*_unknown(given, known), *_texts(given, known), *_shapes(given, known)]
    try:
        repository = _repository(given, rules)
    except InvalidTask as error:
        problems.extend(error.problems)
        repository = None
    if problems or repository is None:
        raise InvalidTask(tuple(problems[:_MOST_PROBLEMS]))
    return TaskRequest(
        repository,
        given["description"],
        **{name: given.get(name) for name in optional},
    )


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Give the object of these names and values; raises `InvalidRequest` for one given twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = [name[:_LONGEST_NAME] for name, count in counts.items() if count > 1]
        problems = (FieldProblem(name, "is given more than once") for name in twice)
        raise InvalidRequest(tuple(islice(problems, _MOST_PROBLEMS)))
    return value


def _is_left_out(name: str, value: object, known: Sequence[str]) -> bool:
    is_nothing = value is None or (isinstance(value, str) and not value.strip())
    return is_nothing and name in known and name not in REQUIRED


def _unknown(fields: Mapping[str, Any], known: Sequence[str]) -> Iterator[FieldProblem]:
    for name in fields:
        if name not in known:
            message = f"is not known; the fields are {', '.join(known)}"
            yield FieldProblem(str(name)[:_LONGEST_NAME], message)


def _texts(fields: Mapping[str, Any], known: Sequence[str]) -> Iterator[FieldProblem]:
    """Every field is a text that can be stored; the required ones say something."""
    for name in known:
        if name not in fields:
            if name in REQUIRED:
                yield FieldProblem(name, "is required")
            continue
        value = fields[name]
        if not isinstance(value, str):
            yield FieldProblem(name, "must be a string")
        elif not _is_storable(value):
            yield FieldProblem(name, "must not hold NUL or half of a surrogate pair")
        elif name in REQUIRED and not value.strip():
            yield FieldProblem(name, "must not be blank")


def _shapes(fields: Mapping[str, Any], known: Sequence[str]) -> Iterator[FieldProblem]:
    """Check what only some texts must look like."""
    ticket_id, base_branch, *commands = (
        value if isinstance(value := fields.get(name), str) and _is_storable(value) else None
        for name in ("ticket_id", "base_branch", *COMMANDS)
    )
    if ticket_id is not None and not is_valid_ticket_id(ticket_id):
        yield FieldProblem(
            "ticket_id",
            "must be 1 to 64 letters, digits, dots, hyphens or underscores, "
            "beginning with a letter or digit",
        )
    if base_branch is not None and not is_valid_branch(base_branch):
        yield FieldProblem("base_branch", "is not the name of a branch")
    for name, command in zip(COMMANDS, commands, strict=True):
        if name in known and command is not None and len(command.encode()) > LONGEST_COMMAND:
            yield FieldProblem(name, f"must not be longer than {LONGEST_COMMAND:,} bytes")


def _repository(fields: Mapping[str, Any], rules: RepositoryRules) -> Repository | None:
    """Read the repository; None where its field was found faulty already."""
    text = fields.get("repository_url")
    if not isinstance(text, str) or not text.strip() or not _is_storable(text):
        return None
    return parse_repository_url(text, rules)


def _is_storable(text: str) -> bool:
    """Say whether the text survives UTF-8 and every program that ends texts at NUL."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _refuse_constant(name: str) -> NoReturn:
    raise _bad_body(f"holds {name}, which is not JSON")


def _bad_body(message: str) -> InvalidRequest:
    return InvalidRequest((FieldProblem("body", message),))


_DECODER = json.JSONDecoder(object_pairs_hook=without_duplicates, parse_constant=_refuse_constant)
