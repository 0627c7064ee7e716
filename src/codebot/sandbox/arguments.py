"""What bwrap is told: one part for each thing that a box is kept from, in order. Pure.

Every part has a name, so that a test can leave it out and show that something gets through.
https://github.com/containers/bubblewrap/blob/main/bwrap.xml
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codebot.domain.box import HOSTNAME
from codebot.sandbox.surroundings import (
    FOLDERS,
    HOME,
    LINKS,
    USER_ID,
    WORKSPACE,
    host_paths,
)

SHIM = "/run/shim"
TOOLS = "/opt/codebot/bin"
"""Where a box finds the programs that the service brings along, and `python`, last on its PATH."""


SHM_BYTES = 256 * 1024**2
RUN_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Part:
    """Some words of the command line that belong together."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A folder or file of the host, and where a box sees it, to read."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class View:
    """All that differs between one box and the next.

    `files` maps paths in the box to descriptors with their content, and `covers` those that a
    shown folder already has; `filter` is the descriptor of the seccomp program; `tmp_bytes` bounds
    /tmp; `python` is what `python` and `python3` mean where the system has none of that name.
    `has_network` says whether bwrap is started in the network that the box is to have.
    """

    workspace: str
    home: str
    shown: tuple[Shown, ...]
    env: Mapping[str, str]
    files: Mapping[str, int]
    filter: int
    tmp_bytes: int
    python: str
    covers: Mapping[str, int] = field(default_factory=dict)
    has_network: bool = False


def box_parts(view: View) -> list[Part]:
    """Give bwrap's arguments for a box, all but the command."""
    return [
        *_namespaces(view),
        *_privileges(view),
        *_file_system(view),
        *_environment(view),
        _SEALED,
    ]


def can_cover(path: str) -> bool:
    """Say whether a box can be given its own file here: not where a shown folder lacks it."""
    shown = ("/usr", *host_paths())
    return Path(path).exists() or not any(path.startswith(f"{top}/") for top in shown)


def words(parts: Iterable[Part]) -> list[str]:
    """Give the parts as one command line."""
    return [word for part in parts for word in part.words]


def _namespaces(view: View) -> Iterator[Part]:
    """Say what the box has of its own. `--unshare-all` would only try for some of them."""
    yield Part("user namespace", ("--unshare-user", "--uid", USER_ID, "--gid", USER_ID))
    yield Part("ipc namespace", ("--unshare-ipc",))
    yield Part("pid namespace", ("--unshare-pid",))
    if not view.has_network:
        yield Part("network namespace", ("--unshare-net",))
    yield Part("uts namespace", ("--unshare-uts",))
    yield Part("cgroup namespace", ("--unshare-cgroup-try",))
    yield Part("hostname", ("--hostname", HOSTNAME))
    yield Part("death with the service", ("--die-with-parent",))
    yield Part("session", ("--new-session",))


def _privileges(view: View) -> Iterator[Part]:
    yield Part("capabilities", ("--cap-drop", "ALL"))
    yield Part("no more user namespaces", ("--disable-userns", "--assert-userns-disabled"))
    yield Part("system call filter", ("--seccomp", str(view.filter)))


def _file_system(view: View) -> Iterator[Part]:
    """Build a root of what is allowed: a new secret on the host is hidden without our doing."""
    yield Part("/usr", ("--ro-bind", "/usr", "/usr"))
    yield Part("folders", tuple(word for folder in FOLDERS for word in ("--dir", folder)))
    yield Part("of the host", tuple(_of_the_host()))
    yield Part("/proc", ("--proc", "/proc"))
    yield Part("/proc/sys", ("--ro-bind", "/proc/sys", "/proc/sys"))
    yield Part("/dev", ("--dev", "/dev"))
    yield Part("/dev/shm", _tmpfs("/dev/shm", SHM_BYTES, mode="1777"))  # noqa: S108 - the box's own
    yield Part("/dev sealed", ("--remount-ro", "/dev"))
    yield Part("/tmp", _tmpfs("/tmp", view.tmp_bytes, mode="1777"))  # noqa: S108 - the box's own
    yield Part("/run", ("--size", str(RUN_BYTES), "--tmpfs", "/run"))
    yield Part("links", tuple(word for link in LINKS for word in ("--symlink", *link)))
    yield Part("home", ("--bind", view.home, str(HOME)))
    yield Part("workspace", ("--bind", view.workspace, str(WORKSPACE), "--chdir", str(WORKSPACE)))
    for shown in view.shown:
        yield Part(f"shown {shown.target}", ("--ro-bind", shown.source, shown.target))
    for target, descriptor in view.files.items():
        yield Part(f"file {target}", ("--perms", "0444", "--file", str(descriptor), target))
    for target, descriptor in view.covers.items():
        yield Part(
            f"cover {target}", ("--perms", "0444", "--ro-bind-data", str(descriptor), target)
        )
    for name in ("python", "python3"):
        yield Part(f"tool {name}", ("--symlink", view.python, f"{TOOLS}/{name}"))
    yield Part("/run sealed", ("--remount-ro", "/run"))


_SEALED = Part("/ sealed", ("--remount-ro", "/"))


def _environment(view: View) -> Iterator[Part]:
    yield Part("environment", ("--clearenv",))
    setting = (word for name, value in view.env.items() for word in ("--setenv", name, value))
    yield Part("variables", tuple(setting))


def _tmpfs(target: str, size: int, *, mode: str) -> tuple[str, ...]:
    return ("--size", str(size), "--perms", mode, "--tmpfs", target)


def _of_the_host() -> Iterator[str]:
    for path in host_paths():
        yield from ("--ro-bind-try", path, path)
