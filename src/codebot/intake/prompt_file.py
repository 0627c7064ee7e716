"""The door of `codebot run`: a task as a file or a text, in JSON or YAML."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codebot.errors import FieldProblem, InvalidRequest
from codebot.intake.submission import read_object, without_duplicates

if TYPE_CHECKING:
    import yaml

LARGEST = 1024 * 1024
"""Bytes of a document, as over HTTP."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
"""https://yaml.org/spec/1.2.2/#103-core-schema"""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[^/]+@[^/]+:")


def read_prompt_file(file: Path) -> dict[str, Any]:
    """Give the fields that a file holds; a local repository is seen from the file's folder.

    Raises `InvalidRequest` where the file cannot be read or is no such document.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as exc:
        raise _refusal(f"{file} cannot be read: {exc.strerror}.") from exc
    return read_prompt(content, file.absolute().parent)


def read_prompt(content: bytes, folder: Path) -> dict[str, Any]:
    """Give the fields that a document holds; a local repository is seen from `folder`.

    What begins with `{` is JSON, anything else YAML, where every value but a null is taken as the
    text it is written as (a ticket 007 stays 007). The fields themselves are checked later, for
    every door alike. Raises `InvalidRequest`.
    """
    if len(content) > LARGEST:
        raise _refusal(f"is larger than {LARGEST:,} bytes.")
    is_json = content.lstrip().startswith(b"{")
    fields = read_object(content) if is_json else _read_yaml(content)
    return {**fields, **located(fields, folder)}


def _read_yaml(content: bytes) -> dict[str, Any]:
    import yaml

    try:
        value = _yaml_value(content.decode())
    except UnicodeDecodeError as exc:
        raise _refusal("is not UTF-8.") from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f", at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _refusal(f"is not YAML{where}.") from exc
    except (yaml.YAMLError, RecursionError) as exc:
        raise _refusal("is not YAML, or nests too deeply.") from exc
    if not isinstance(value, dict):
        raise _refusal(
            "is not a mapping. A task is JSON or YAML with `repository_url` and `description`."
        )
    return value


def _yaml_value(text: str) -> object:
    """Give what the text says, in texts, lists and mappings; a name given twice is refused."""
    import yaml

    loader = yaml.BaseLoader(text)
    try:
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            without_duplicates([(str(name.value), value) for name, value in node.value])
            node.value = [(name, value) for name, value in node.value if not _is_null(value)]
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _is_null(node: "yaml.Node") -> bool:
    """Say whether a value stands for none, as YAML has it: not where it is quoted."""
    return getattr(node, "style", "") is None and node.value in _NULLS


def located(fields: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Give a local repository's path, made absolute; nothing for what looks like an address."""
    given = fields.get("repository_url")
    if not isinstance(given, str) or not given.strip() or _ADDRESS.match(given) or "\0" in given:
        return {}
    try:
        path = Path(given).expanduser()
    except RuntimeError:  # `~name` of nobody: refused later, as what it is
        return {}
    return {"repository_url": str((folder / path).resolve())}


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest((FieldProblem("document", message),))
