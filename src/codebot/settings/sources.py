"""Where the text of a setting comes from: flags win over environment, environment over `.env`."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from codebot.domain.postgres_url import secrets_in
from codebot.settings.files import NotReadable, looks_like_secret, read_secret_file
from codebot.settings.parse import database, postgres
from codebot.settings.proxy import credentials_in, proxy_address
from codebot.settings.table import BY_FLAG, BY_NAME, FILE_VARIABLES, SETTINGS, Setting
from codebot.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from dotenv.parser import Binding

PREFIX = "CODEBOT_"

_EITHER_CASE = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"})
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Given:
    """The text of one setting, and what to call its source in a message."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that was given, before any of it is understood.

    `tried` names also the settings that were to come from a file which cannot be read. `quoted`
    says of values that they have kept their quotes.
    """

    given: Mapping[str, Given]
    tried: Collection[str]
    problems: tuple[str, ...]
    quoted: tuple[str, ...]
    warnings: tuple[str, ...]


def read_sources(
    environ: Mapping[str, str], flags: Mapping[str, str], folder: Path, redactor: Redactor
) -> Sources:
    """Collect the text of every setting; every secret is made known to `redactor` at once."""
    problems: list[str] = []
    dotenv = _read_dotenv(folder / ".env", problems)
    reader = _Reader(folder, redactor, problems)
    layers = ((dotenv, " (in .env)"), (environ, ""))
    given: dict[str, Given] = {}
    for layer, suffix in layers:
        for setting in SETTINGS:
            found = None if setting.file_of else reader.find(setting, layer, suffix)
            if found:
                given[setting.name] = found
    for flag, text in flags.items():
        given[BY_FLAG[flag].name] = Given(flag, text.strip())
    for name, found in given.items():
        _make_known(BY_NAME[name], found.text, redactor)
    tried = given.keys() | {
        setting.name for setting in SETTINGS for layer, _ in layers if _places(setting, layer)
    }
    quoted = tuple(_quoted(given.values()))
    warnings = (*quoted, *_unknown(environ), *_unknown(dotenv))
    return Sources(given, tried, tuple(problems), quoted, warnings)


def _make_known(setting: Setting, text: str, redactor: Redactor) -> None:
    """Make known what is secret about a value: of an address, the credentials in it."""
    if setting.parse in {database, postgres}:
        for secret in secrets_in(text):
            redactor.add(secret)
    elif setting.parse is proxy_address:
        for credential in credentials_in(text):
            redactor.add(credential)
    elif setting.secret:
        _hide(text, redactor)


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


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one layer after another; what goes wrong is added to `problems`."""

    folder: Path
    redactor: Redactor
    problems: list[str]

    def find(self, setting: Setting, layer: Mapping[str, str], suffix: str) -> Given | None:
        """Give what one layer says about a setting; a blank variable counts as unset."""
        places = _places(setting, layer)
        if len(places) > 1:
            both = " and ".join(places)
            self.problems.append(f"{both} are both set{suffix}; keep one.")
        for name, text in places.items():
            if name in FILE_VARIABLES.get(setting.name, ()):
                return self._from_file(f"{name}{suffix}", text, setting.name)
            return Given(f"{name}{suffix}", text)
        return None

    def _from_file(self, label: str, path: str, by_value: str) -> Given | None:
        try:
            return Given(label, read_secret_file(path, self.folder, by_value))
        except NotReadable as exc:
            self.problems.append(f"{label} {exc}")
            if looks_like_secret(path):
                _hide(path, self.redactor)
            else:
                self.problems.extend(_quoted([Given(label, path)]))
            return None


def _places(setting: Setting, layer: Mapping[str, str]) -> dict[str, str]:
    """Give the variables of a layer that set this one, with their texts."""
    names = [setting.name, *FILE_VARIABLES.get(setting.name, ())]
    found = {name: text for name in names if (text := layer.get(name, "").strip())}
    if not found and setting.name in _EITHER_CASE:
        lower = setting.name.lower()
        return {lower: text} if (text := layer.get(lower, "").strip()) else {}
    return found


def _hide(text: str, redactor: Redactor) -> None:
    """Make a secret known before anything can go wrong with it, whole and by its entries."""
    for part in (text, *re.split(r"[,\n]|\\n", text)):
        redactor.add(part.strip())
        redactor.add(part.strip().strip(_QUOTES))


def _quoted(given: Iterable[Given]) -> list[str]:
    """Warn of quotes that were kept: a shell takes them away, `docker run --env-file` does not."""
    return [
        f"{found.label} begins and ends with a quote, which counts as a part of it; remove both"
        " (docker's --env-file keeps them)."
        for found in given
        if len(found.text) > 1 and found.text[0] == found.text[-1] and found.text[0] in _QUOTES
    ]


def _unknown(layer: Mapping[str, str]) -> list[str]:
    """Warn of variables that look like ours and are not: a typo is otherwise never noticed."""
    known = {setting.name for setting in SETTINGS if setting.name.startswith(PREFIX)}
    files = {name for names in FILE_VARIABLES.values() for name in names}
    warnings = []
    for name in sorted(layer):
        if name.startswith(PREFIX) and name not in known | files:
            meant = get_close_matches(name, known, n=1)
            warnings.append(
                f"{name} is not a setting and is ignored."
                + (f" Did you mean {meant[0]}?" if meant else "")
            )
    return warnings
