"""By which means a task gets its tree: really tried, once, where the trees will be.

Containers and hardened systems refuse overlays in more ways than can be foreseen, so nothing is
concluded from versions or settings: a box is started over a layer and does what agents do.
"""

import asyncio
import errno
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Finding, Sandbox
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.workspace.folders import make_private
from codebot.workspace.shelf import trial_folder

TRIAL = """
set -e
test "$(cat folder/below)" = below
echo above > folder/below
rm gone
mv folder moved
test "$(cat moved/below)" = above
test ! -e gone
python3 -ISc 'import os; os.rename("other", "renamed")' 2>/dev/null || echo whole folders stay
"""
LONGEST_TRIAL = timedelta(seconds=20)
LONGEST_REASON = 200

COPY = ("/bin/cp", "-a", "--no-target-directory")


_FULL = os.strerror(errno.ENOSPC)


class Means(StrEnum):
    """How a tree comes to be: the best first."""

    OVERLAY = "overlay"
    REFLINK = "reflink"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The means in force, why no better one is, and what it cannot do."""

    means: Means
    reasons: Sequence[str] = ()
    lacks: str = ""

    def finding(self) -> Finding:
        """Say it for `doctor` and the log."""
        words = [_WORDS[self.means], *filter(None, [self.lacks]), *self.reasons]
        is_best = self.means is Means.OVERLAY
        remedy = "" if is_best else "Tasks work all the same, and begin later."
        return Finding("workspaces", is_best, " ".join(words), remedy, required=False)


_WORDS = {
    Means.OVERLAY: "Overlays: a tree of any size is there in milliseconds.",
    Means.REFLINK: "Copies that share their blocks with a template.",
    Means.COPY: "A checkout of its own for each task.",
}


async def find_means(
    sandbox: Sandbox, *, templates: Path, work_dir: Path, overlays: bool = True
) -> Chosen:
    """Try each means, the best first; `overlays` tells whether they may be used at all."""
    reasons = []
    tries = ((Means.OVERLAY, _try_overlay), (Means.REFLINK, _try_reflink))
    for means, attempt in tries:
        if means is Means.OVERLAY and not overlays:
            reasons.append("No overlays: CODEBOT_OVERLAY is off.")
            continue
        try:
            return Chosen(means, reasons, await attempt(sandbox, templates, work_dir))
        except (OSError, SandboxError, subprocess.SubprocessError) as error:
            reasons.append(f"No {means}: {_reason(error)}")
    return Chosen(Means.COPY, reasons)


async def _try_overlay(sandbox: Sandbox, templates: Path, work_dir: Path) -> str:
    """Let a box change what it sees of a layer; say what it could not do."""
    for folder in (templates, work_dir):
        make_private(folder)
    with trial_folder(templates) as layer, trial_folder(work_dir) as task:
        for name in ("folder", "other"):
            (layer / name).mkdir()
        (layer / "folder" / "below").write_text("below")
        (layer / "gone").touch()
        for name in ("tree", "home"):
            (task / name).mkdir(mode=0o700)
        said = await _said_in_box(sandbox, layer, task)
        seen = (layer / "folder" / "below").read_text(), (layer / "gone").exists()
        if seen != ("below", True):
            raise SandboxError("a box could change a layer.")
    is_stiff = "whole folders stay" in said
    return "Folders of a template are moved file by file, not by `git mv`." if is_stiff else ""


async def _said_in_box(sandbox: Sandbox, layer: Path, task: Path) -> str:
    spec = BoxSpec(
        task_id=TaskId("check"),
        argv=("/bin/sh", "-c", TRIAL),
        workspace=task / "tree",
        home=task / "home",
        network=Network.NONE,
        timeout=LONGEST_TRIAL,
        layers=(layer,),
        home_layers=(layer,),
    )
    box = await sandbox.start(spec)
    said = b"".join([line async for line in box.stdout()]).decode(errors="replace")
    ended = await box.wait()
    if ended != Exit(ExitReason.EXITED, 0):
        raise SandboxError(f"a trial ended with {ended.code}: {box.stderr_tail().strip()}")
    return said


async def _try_reflink(sandbox: Sandbox, templates: Path, work_dir: Path) -> str:
    del sandbox
    for folder in (templates, work_dir):
        make_private(folder)
    with trial_folder(templates) as template, trial_folder(work_dir) as task:
        (template / "file").write_bytes(os.urandom(8192))
        await copy_files(template / "file", task / "file", reflink="always")
    return ""


async def copy_files(source: Path, target: Path, *, reflink: str = "auto") -> None:
    """Copy a file or folder, sharing its blocks where that can be; raises `OSError`.

    With "always" for `reflink` there is no copy but such a one.
    """
    await asyncio.to_thread(_copy, source, target, reflink)


def _copy(source: Path, target: Path, reflink: str) -> None:
    done = subprocess.run(  # noqa: S603 - a program of the system, on folders of our own
        [*COPY, f"--reflink={reflink}", "--", source, target],
        env={"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        why = words[-1].rpartition(": ")[2] if words else "cp failed"
        raise OSError(errno.ENOSPC if why == _FULL else 0, why, str(target))


def _reason(error: Exception) -> str:
    words = error.detail if isinstance(error, SandboxError) else str(error)
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.strerror}."
    return " ".join(words.split())[:LONGEST_REASON]
