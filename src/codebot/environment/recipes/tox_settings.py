"""Where tox's settings stand, and which environments they list. Pure.

tox takes the first of several files that says something to it:
https://tox.wiki/en/latest/config.html#discovery-and-file-types
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codebot.environment.recipes.clues import Clues, at, ini_sections, names, texts

TABLE = ("tool", "tox")
DEEPEST = 2
"""References within references."""

MOST_LINES = 200
_REFERENCE = re.compile(r"\{\[([^\]{}]+)\](\w+)\}")
_PASSING = {"passenv", "pass_env"}
_NAME = re.compile(r"(?<![\w.{-])[A-Za-z0-9][\w.-]*(?![\w.:}-])")


@dataclass(frozen=True, slots=True)
class ToxSettings:
    """What tox's file says: `source` is its name, `envlist` its environments, as INI spells them.

    `base` is the section of what all environments share, `each` what the names of their own begin
    with, and `own` are those that say by themselves which variables they pass on. `deps`, `extras`
    and `groups` are what all share of these.
    """

    source: str
    envlist: str
    base: str
    each: str
    own: frozenset[str]
    deps: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def passing(self, name: str) -> str:
        """Give the setting that says which variables an environment passes on."""
        section = f"{self.each}{name}" if name in self.own else self.base
        return f"{section}.pass_env"


def tox_settings(clues: Clues) -> ToxSettings | None:
    """Give tox's settings, None where no file has any."""
    return next(_found(clues), None)


def _found(clues: Clues) -> Iterator[ToxSettings]:
    yield from _of_ini("tox.ini", clues.text("tox.ini"), "tox", "testenv")
    yield from _of_ini("setup.cfg", clues.text("setup.cfg"), "tox:tox", "testenv")
    table = clues.toml("pyproject.toml", *TABLE)
    legacy = at(table, "legacy_tox_ini")
    if isinstance(legacy, str):
        yield from _of_ini("pyproject.toml", legacy, "tox", "testenv")
    elif isinstance(table, dict):
        yield _of_toml("pyproject.toml", table, f"{'.'.join(TABLE)}.")
    if clues.has("tox.toml"):
        yield _of_toml("tox.toml", clues.toml("tox.toml"), "")


def _of_ini(source: str, text: str, *signs: str) -> Iterator[ToxSettings]:
    sections = ini_sections(text)
    if not any(sign in sections for sign in signs):
        return
    core = sections.get(signs[0], {})
    shared = sections.get("testenv", {})
    own = (name for name, entries in sections.items() if _PASSING & entries.keys())
    yield ToxSettings(
        source,
        core.get("envlist", core.get("env_list", "")),
        "testenv",
        "testenv:",
        frozenset(name.removeprefix("testenv:") for name in own),
        tuple(dict.fromkeys(_spelled_out(shared.get("deps", ""), sections))),
        tuple(_NAME.findall(shared.get("extras", ""))),
        tuple(_NAME.findall(shared.get("dependency_groups", ""))),
    )


def _spelled_out(
    listed: str, sections: dict[str, dict[str, str]], depth: int = DEEPEST
) -> Iterator[str]:
    r"""Give the lines of a setting, with those of the settings that it refers to.

    >>> [*_spelled_out("{[base]deps}\na", {"base": {"deps": "b"}})]
    ['b', 'a']
    """
    for line in listed.splitlines()[:MOST_LINES]:
        referred = _REFERENCE.fullmatch(line.strip())
        if referred is None:
            yield line
        elif depth:
            there = sections.get(referred[1], {}).get(referred[2], "")
            yield from _spelled_out(there, sections, depth - 1)


def _of_toml(source: str, table: Any, prefix: str) -> ToxSettings:  # noqa: ANN401 - TOML
    environments = at(table, "env")
    own = (name for name in names(environments) if at(environments, name, "pass_env") is not None)
    listed = at(table, "env_list")
    entries = listed if isinstance(listed, list) else []
    return ToxSettings(
        source,
        ", ".join(filter(None, map(_spelled, entries))),
        f"{prefix}env_run_base",
        f"{prefix}env.",
        frozenset(own),
        *(texts(at(table, "env_run_base", key)) for key in ("deps", "extras", "dependency_groups")),
    )


def _spelled(entry: Any) -> str:  # noqa: ANN401 - TOML
    """Spell an entry of a list of environments as INI does: what multiplies stands in braces.

    >>> _spelled({"product": [["3.11", "3.12"], ["old", "new"]]})
    '{3.11,3.12}-{old,new}'
    """
    if isinstance(entry, str):
        return entry
    factors = at(entry, "product")
    groups = [",".join(texts(group)) for group in factors] if isinstance(factors, list) else []
    return "-".join(f"{{{group}}}" for group in groups)
