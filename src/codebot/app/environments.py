"""`codebot environments`: what set-ups left, and is kept for the next task; a service may run."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from codebot.errors import Conflict, NotFound
from codebot.settings import Settings
from codebot.workspace.layers import Layers
from codebot.workspace.shelf import Kept, Shelf

SHORTEST_NAME = 12
"""Characters by which an environment is named in the table."""

MEBIBYTE = 1024**2


def kept_layers(settings: Settings) -> Layers:
    """Give the layers that are kept for this service."""
    return Layers(Shelf(settings.data_dir / "environments"))


def environments_table(settings: Settings) -> str:
    """Give the kept environments as a table, the one that was used last first."""
    lines = [["NAME", "SIZE", "MADE", "LAST USED", "TOOK", "REPOSITORY", "BRANCH", "FROM"]]
    lines += [[*_cells(kept, settings)] for kept in reversed(kept_layers(settings).kept())]
    if len(lines) == 1:
        return "No environment is kept."
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def environments_json(settings: Settings) -> str:
    """Give the same as JSON, with sizes in bytes and times in UTC."""
    return json.dumps([_told(kept, settings) for kept in reversed(kept_layers(settings).kept())])


def remove_environments(settings: Settings, names: Sequence[str], *, every: bool) -> str:
    """Remove environments by the beginnings of their names, or all; say what became of it.

    Raises `NotFound` for a name that means none or several, and `Conflict` where a task stands on
    one: it stays, the others are gone.
    """
    layers = kept_layers(settings)
    if not names and not every:
        raise NotFound("No environment is named.", hint="Name some, or say --all.")
    there = [kept.name for kept in layers.kept()]
    chosen = there if every else [_only(name, there) for name in names]
    held = [name for name in chosen if not layers.remove(name)]
    if held:
        raise Conflict(
            f"A task stands on {', '.join(name[:SHORTEST_NAME] for name in held)}.",
            hint="Remove it when the task has ended.",
        )
    return f"{len(chosen)} removed."


def _only(beginning: str, names: Iterable[str]) -> str:
    found = [name for name in names if beginning and name.startswith(beginning)]
    if len(found) != 1:
        raise NotFound(
            f"{'No' if not found else 'More than one'} environment is called {beginning}.",
            hint="`codebot environments list` shows their names.",
        )
    return found[0]


def _cells(kept: Kept, settings: Settings) -> Iterator[str]:
    told = _told(kept, settings)
    yield kept.name[:SHORTEST_NAME]
    yield f"{kept.size / MEBIBYTE:.1f} MiB"
    yield str(told["made_at"])[:16].replace("T", " ")
    yield str(told["used_at"])[:16].replace("T", " ")
    yield f"{told['seconds']} s"
    yield from (str(told[name]) for name in ("repository", "branch", "recipe"))


def _told(kept: Kept, settings: Settings) -> dict[str, object]:
    about = kept.about
    facts = about.facts if about else {}
    mirror = Path(facts.get("repository", ""))
    mirrors = settings.data_dir / "mirrors"
    is_ours = mirror.is_relative_to(mirrors)
    return {
        "name": kept.name,
        "repository": str(mirror.relative_to(mirrors).with_suffix("") if is_ours else mirror),
        "branch": facts.get("branch", ""),
        "recipe": facts.get("recipe", ""),
        "size": kept.size,
        "made_at": _time(about.made_at if about else 0),
        "used_at": _time(kept.used_at),
        "seconds": about.seconds if about else 0,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
