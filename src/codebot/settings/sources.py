"""Where the text of a setting comes from: flags win over environment, environment over `.env`."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from codebot.settings.table import BY_FLAG, BY_NAME, SETTINGS, Setting
from codebot.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from dotenv.parser import Binding

PREFIX = "CODEBOT_"

_EITHER_CASE = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"})
_LARGEST_SECRET_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Given:
    """The text of one setting, and what to call its source in a message."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that was given, before any of it is understood.

    `tried` names also the settings that were to come from a file which cannot be read.
    """

    given: Mapping[str, Given]
    tried: Collection[str]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def read_sources(
    environ: Mapping[str, str], flags: Mapping[str, str], folder: Path, redactor: Redactor
) -> Sources:
    """Collect the text of every setting; every secret is made known to `redactor` at once."""
    problems: list[str] = []
    dotenv = _read_dotenv(folder / ".env", problems)
    given: dict[str, Given] = {}
    for layer, suffix in ((dotenv, " (in .env)"), (environ, "")):
        for setting in SETTINGS:
            found = _find(setting, layer, suffix, folder, problems)
            if found:
                given[setting.name] = found
    for flag, text in flags.items():
        given[BY_FLAG[flag].name] = Given(flag, text.strip())
    for name, found in given.items():
        if BY_NAME[name].secret:
            _hide(found.text, redactor)
    tried = given.keys() | {
        setting.name for setting in SETTINGS for layer in (dotenv, environ) if _file(setting, layer)
    }
    return Sources(given, tried, tuple(problems), (*_unknown(environ), *_unknown(dotenv)))


def _read_dotenv(file: Path, problems: list[str]) -> dict[str, str]:
    """Give what the file sets; a line that is no assignment is a problem, named by its number."""
    from dotenv.parser import parse_stream

    try:
        if not file.is_file():
            return {}
        with file.open(encoding="utf-8-sig") as stream:
            lines = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as exc:
        problems.append(f"{file} cannot be read ({type(exc).__name__}).")
        return {}
    problems += [
        f"{file}, line {_number(line)}, is not NAME=value." for line in lines if line.error
    ]
    return {line.key: line.value for line in lines if line.key and line.value is not None}


def _number(line: "Binding") -> int:
    """Give the number of a line as an editor counts it; the parser begins at the blanks before."""
    text = line.original.string
    return line.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _find(
    setting: Setting, layer: Mapping[str, str], suffix: str, folder: Path, problems: list[str]
) -> Given | None:
    """Give what one layer says about a setting; a blank variable counts as unset."""
    text = layer.get(setting.name, "").strip()
    if not text and setting.name in _EITHER_CASE:
        text = layer.get(setting.name.lower(), "").strip()
    file = _file(setting, layer)
    if text and file:
        problems.append(f"{setting.name} and {setting.name}_FILE are both set{suffix}; keep one.")
    elif file:
        return _read_secret_file(f"{setting.name}_FILE{suffix}", folder, Path(file), problems)
    return Given(f"{setting.name}{suffix}", text) if text else None


def _file(setting: Setting, layer: Mapping[str, str]) -> str:
    """Give the file that a layer names for a secret, "" for none."""
    return layer.get(f"{setting.name}_FILE", "").strip() if setting.secret else ""


def _read_secret_file(label: str, folder: Path, file: Path, problems: list[str]) -> Given | None:
    try:
        with (folder / file.expanduser()).open(encoding="utf-8-sig") as stream:
            text = stream.read(_LARGEST_SECRET_FILE).strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as exc:  # the last: nobody's `~name`
        problems.append(f"{label} names {file}, which cannot be read ({type(exc).__name__}).")
        return None
    if not text:
        problems.append(f"{label} names {file}, which is empty.")
        return None
    return Given(label, text)


def _hide(text: str, redactor: Redactor) -> None:
    """Make a secret known before anything can go wrong with it, whole and by its entries."""
    for part in (text, *re.split(r"[,\n]", text)):
        redactor.add(part.strip())


def _unknown(layer: Mapping[str, str]) -> list[str]:
    """Warn of variables that look like ours and are not: a typo is otherwise never noticed."""
    known = {setting.name for setting in SETTINGS if setting.name.startswith(PREFIX)}
    files = {f"{setting.name}_FILE" for setting in SETTINGS if setting.secret}
    warnings = []
    for name in sorted(layer):
        if name.startswith(PREFIX) and name not in known | files:
            meant = get_close_matches(name, known, n=1)
            warnings.append(
                f"{name} is not a setting and is ignored."
                + (f" Did you mean {meant[0]}?" if meant else "")
            )
    return warnings
