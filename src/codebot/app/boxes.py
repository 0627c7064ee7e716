"""The box that commands run in, wired; or none, where that was asked for by name."""

from pathlib import Path

from uv import find_uv_bin

from codebot.domain.box import BoxLimits
from codebot.domain.ports import Egress, Sandbox
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.cgroup import Cgroups, find_cgroups
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.marks import short_mark
from codebot.sandbox.program import find_bubblewrap
from codebot.settings import Settings

MEBIBYTE = 1024**2


def control_groups(settings: Settings) -> Cgroups | None:
    """Give the control groups for boxes, where this service was given some."""
    return find_cgroups(short_mark(str(settings.work_dir))) if settings.is_boxed else None


def make_sandbox(settings: Settings, egress: Egress, cgroups: Cgroups | None) -> Sandbox:
    """Give the box, unless that was declined by name; `mark` is the same after a restart.

    Raises `SandboxUnavailable`.
    """
    mark = str(settings.work_dir)
    if not settings.is_boxed:
        return DirectSandbox(path=settings.path, mark=mark)
    return BubblewrapSandbox(
        find_bubblewrap(),
        path=settings.path,
        mark=mark,
        egress=egress,
        limits=BoxLimits(
            memory=settings.memory_mb * MEBIBYTE,
            disk=settings.disk_mb * MEBIBYTE,
            processes=settings.max_processes,
        ),
        read_only=settings.sandbox_paths,
        tools=_tools(),
        cgroups=cgroups,
    )


def _tools() -> dict[str, Path]:
    """Give the programs that every box finds: uv, which installs what Python projects need."""
    uv = Path(find_uv_bin())
    return {"uv": uv, "uvx": uv.with_name("uvx")}
