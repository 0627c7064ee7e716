"""Large files that an agent made or changed: out of its box as data, checked, and looked through.

Its commits hold pointers, which Git LFS wrote in the box. What they name is taken out of the
agent's `.git`, held against its hash, and kept beside the task's own repository until it is sent.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import BinaryIO

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.outcome import Checkout, LargeObject
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.errors import WorkspaceError
from codebot.git.git import Git
from codebot.lfs.objects import CHUNK, ObjectStore, WrongContent
from codebot.workspace import policy
from codebot.workspace.box_git import bundle_file
from codebot.workspace.folders import disk_errors
from codebot.workspace.large_files import pointers_among
from codebot.workspace.limits import Limits
from codebot.workspace.new_objects import NewObject
from codebot.workspace.scan import Scan

SCRIPT = files("codebot.workspace").joinpath("take_large.sh").read_text()
LONGEST_LINE = 16


@dataclass(frozen=True, slots=True)
class Large:
    """What `pointers` name, by the ids of these files, and which of it the forge has not."""

    pointers: Mapping[str, LargeObject] = field(default_factory=dict)
    new: tuple[LargeObject, ...] = ()


@dataclass(frozen=True, slots=True)
class LargeChanges:
    """Takes the large files of one task's change in."""

    git: Git
    sandbox: Sandbox
    task_id: TaskId
    checkout: Checkout
    limits: Limits

    async def take_in(self, new: Sequence[NewObject], scan: Scan) -> "Large":
        """Give what the pointers among new objects name, as far as the contents are to be had.

        Raises `ChangeRefused` for what is too large, or holds what must not leave this machine.
        """
        pointers = await pointers_among(self.git, self.checkout.repository, new)
        if not pointers:
            return Large()
        known = ObjectStore.of(self.checkout.mirror)
        shown = _as_they_are(new, pointers)
        theirs = {one: shown[one] for one in shown if not known.has(one)}
        policy.check_sizes(theirs.values(), self.limits)
        with disk_errors(self.checkout.repository):
            await self._take_out([one for one in theirs if not self._own.has(one)])
        here = [one for one in theirs if self._own.has(one)]
        for one in here:
            await scan.check_large_file(theirs[one], self._own.path(one))
        missing = theirs.keys() - set(here)
        return Large({id_: one for id_, one in pointers.items() if one not in missing}, tuple(here))

    @property
    def _own(self) -> ObjectStore:
        """The task's own objects: what the forge has is in the mirror."""
        return ObjectStore.of(self.checkout.repository)

    async def _take_out(self, objects: Sequence[LargeObject]) -> None:
        """Take what there is of some objects out of the agent's tree."""
        if not objects:
            return
        with bundle_file(self.checkout) as file:
            await self._write(file, objects)
            file.seek(0)
            for one in objects:
                if file.readline(LONGEST_LINE) == b"here\n":
                    with suppress(WrongContent):
                        await self._own.put(one, _next(file, one.size))

    async def _write(self, file: BinaryIO, objects: Sequence[LargeObject]) -> None:
        box = await self.sandbox.start(self._spec(objects))
        try:
            async for chunk in box.stdout():
                file.write(chunk)
            ended = await box.wait()
        finally:
            await box.kill()
        if ended != Exit(ExitReason.EXITED, 0):
            raise WorkspaceError(
                f"Large files could not be taken out of the workspace ({ended.reason}): "
                f"{box.stderr_tail().strip()}"
            )

    def _spec(self, objects: Sequence[LargeObject]) -> BoxSpec:
        return BoxSpec(
            task_id=self.task_id,
            argv=("/bin/sh", "-c", SCRIPT, "take_large"),
            workspace=self.checkout.tree,
            home=self.checkout.home,
            network=Network.NONE,
            timeout=self.limits.collect_timeout,
            env={"LC_ALL": "C"},
            stdin="".join(f"{one.oid} {one.size}\n" for one in objects).encode(),
            max_output=sum(one.size + LONGEST_LINE for one in objects),
        )


def _as_they_are(
    new: Sequence[NewObject], pointers: Mapping[str, LargeObject]
) -> dict[LargeObject, NewObject]:
    """Give what each pointer stands for as a new file under its path, of its true size."""
    return {
        (one := pointers[id_]): NewObject(file.id, one.size, file.path)
        for file in new
        if (id_ := file.id.decode()) in pointers
    }


async def _next(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """Give the next bytes of a file, some at a time."""
    while size and (chunk := file.read(min(size, CHUNK))):
        size -= len(chunk)
        yield chunk
