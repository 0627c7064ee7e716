"""Git inside the box, over what the agent left: the only git that ever looks at a tree.

On the host, `status` was seen to run a planted `core.fsmonitor` and hooks, `diff` an external
program, `add` filters, whose names are free and so cannot be switched off; even a trusted
GIT_DIR enters nested repositories. In the box it may run what it likes.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import BinaryIO

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.outcome import Checkout
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.errors import ChangeRefused, DiskFull, WorkspaceError
from codebot.git.environment import numbered
from codebot.git.trouble import Trouble, trouble_in
from codebot.sandbox.room import on_room
from codebot.workspace.as_committed import EXCEPTIONS
from codebot.workspace.folders import disk_errors
from codebot.workspace.large_files import settings_for
from codebot.workspace.limits import Limits

SCRIPT = files("codebot.workspace").joinpath("collect.sh").read_text()
ARTEFACTS = files("codebot.workspace").joinpath("artefacts.sed").read_text()

_LEFT_OUT = "left out: "
"""Before each path that the script leaves out, on stderr."""

SETTINGS = (
    ("safe.directory", "*"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.bare", "false"),
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),
    ("advice.addEmbeddedRepo", "false"),
)
"""To keep accidents small; nothing depends on the agent's settings being overridden."""


_TOO_LARGE = "The agent's change is too large to be taken over."
_MAKE_SMALLER = "Leave build output, installed packages and large files out of your change."


@contextmanager
def bundle_file(checkout: Checkout) -> Iterator[BinaryIO]:
    """Give a nameless file beside the repository, for a bundle of any size."""
    with (
        disk_errors(checkout.repository),
        tempfile.TemporaryFile(dir=checkout.repository.parent) as file,
    ):
        yield file


async def write_bundle(
    sandbox: Sandbox,
    task_id: TaskId,
    checkout: Checkout,
    *,
    message: str,
    limits: Limits,
    bundle: BinaryIO,
) -> tuple[str, ...]:
    """Write the agent's commits, and what it left uncommitted, to `bundle`: nothing if unchanged.

    Gives the first paths of what tools made and git does not know: all of that is left out. Raises
    `ChangeRefused` when git in the box cannot make sense of the tree.
    """
    spec = _spec(sandbox, task_id, checkout, message, limits)
    with on_room(sandbox, checkout.tree):
        return await _fill(bundle, sandbox, spec, limits)


async def _fill(
    bundle: BinaryIO, sandbox: Sandbox, spec: BoxSpec, limits: Limits
) -> tuple[str, ...]:
    box = await sandbox.start(spec)
    try:
        async for chunk in box.stdout():
            bundle.write(chunk)
        bundle.flush()
        ended = await box.wait()
    finally:  # a full disk or a cancellation must not leave it running beside its successor
        await box.kill()
    words, left_out = _read_stderr(box.stderr_tail())
    _check(ended, words, spec)
    if bundle.seek(0, 2) > limits.max_pack_bytes:  # it may end before anybody saw that it did
        raise ChangeRefused(_TOO_LARGE, remedy=_MAKE_SMALLER)
    return left_out


def _read_stderr(said: str) -> tuple[str, tuple[str, ...]]:
    """Give git's own words, and the paths that were left out."""
    lines = said.splitlines()
    words = [line for line in lines if not line.startswith(_LEFT_OUT)]
    paths = [line.removeprefix(_LEFT_OUT) for line in lines if line.startswith(_LEFT_OUT)]
    return "\n".join(words), tuple(paths)


def _spec(
    sandbox: Sandbox, task_id: TaskId, checkout: Checkout, message: str, limits: Limits
) -> BoxSpec:
    tree = sandbox.paths(checkout.tree, checkout.home).workspace
    objects, exceptions = checkout.mirror / "objects", checkout.repository / EXCEPTIONS
    lfs = (*settings_for(sandbox, checkout.mirror), ("lfs.storage", f"{tree}/.git/lfs"))
    return BoxSpec(
        task_id=task_id,
        argv=(
            *("/bin/sh", "-c", SCRIPT, "collect"),
            *(checkout.base_commit, str(objects), str(exceptions), ARTEFACTS),
        ),
        workspace=checkout.tree,
        home=checkout.home,
        layers=checkout.layers,
        home_layers=checkout.home_layers,
        network=Network.NONE,
        timeout=limits.collect_timeout,
        env={
            "LC_ALL": "C",
            "GIT_DIR": f"{tree}/.git",
            "GIT_WORK_TREE": str(tree),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_NO_REPLACE_OBJECTS": "1",
            **{f"GIT_{who}_NAME": "agent" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "agent@localhost" for who in ("AUTHOR", "COMMITTER")},
            **numbered((*SETTINGS, *lfs)),
        },
        stdin=message.encode(errors="replace"),
        read_only=(checkout.mirror, *([exceptions] if exceptions.is_file() else [])),
        max_output=limits.max_pack_bytes,
    )


def _check(ended: Exit, stderr: str, spec: BoxSpec) -> None:
    if ended == Exit(ExitReason.EXITED, 0):
        return
    if ended.reason is ExitReason.OUTPUT:
        raise ChangeRefused(_TOO_LARGE, remedy=_MAKE_SMALLER)
    if ended.reason is ExitReason.TIMEOUT:
        seconds = round(spec.timeout.total_seconds())
        raise WorkspaceError(f"Collecting the agent's work took longer than {seconds} seconds.")
    if ended.reason is not ExitReason.EXITED:
        raise WorkspaceError(f"Collecting the agent's work was stopped ({ended.reason}).")
    if trouble_in(stderr) is Trouble.DISK_FULL:
        raise DiskFull(spec.workspace)
    raise ChangeRefused(
        f"The agent's work could not be collected: {stderr.strip() or f'exit code {ended.code}'}",
        hint="A repository inside the repository, or a file that cannot be read, is in the way.",
        remedy="Remove the `.git` of any repository inside of this one, or leave it out, and make "
        "sure that every file can be read.",
    )
