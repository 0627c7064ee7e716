"""One command in the task's box, from start to end, with the tail of what it printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from codebot.domain.box import BoxPaths, BoxSpec, Exit, ExitReason, Network
from codebot.domain.outcome import Checkout
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox.output import keep_tail
from codebot.sandbox.room import on_room, require_room

SUCCESS = Exit(ExitReason.EXITED, 0)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended: how, the last part of its stdout, and the bytes cut before that.

    `stderr` is the end of its stderr, where it kept one apart.
    """

    exit: Exit
    tail: bytes
    cut: int
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Boxed:
    """Runs commands in one place of a task: its workspace, or one that was made for the purpose.

    With `in_background` they leave the processors to other boxes.
    """

    sandbox: Sandbox
    task_id: TaskId
    checkout: Checkout
    in_background: bool = False

    @property
    def paths(self) -> BoxPaths:
        """Where commands find the place's tree and HOME."""
        return self.sandbox.paths(self.checkout.tree, self.checkout.home)

    async def run(
        self,
        *argv: str,
        limit: timedelta,
        network: Network,
        env: Mapping[str, str] = MappingProxyType({}),
        path: tuple[str, ...] = (),
        read_only: tuple[Path, ...] = (),
        stdin: bytes = b"",
    ) -> Ended:
        """Run one command; nothing of it is left when this returns or is cancelled.

        Besides the mirror and the task's own repository it can read `read_only`. Raises
        `SandboxError` when it cannot even be started, and `DiskFull` where it has no room: what
        ends badly on a full disk tells nothing.
        """
        spec = BoxSpec(
            task_id=self.task_id,
            argv=argv,
            workspace=self.checkout.tree,
            home=self.checkout.home,
            layers=self.checkout.layers,
            home_layers=self.checkout.home_layers,
            network=network,
            timeout=limit,
            env=env,
            read_only=(self.checkout.mirror, self.checkout.repository, *read_only),
            path=path,
            stdin=stdin,
            in_background=self.in_background,
        )
        with on_room(self.sandbox, self.checkout.tree):
            ended = await self._to_its_end(spec)
        if ended.exit != SUCCESS:
            require_room(self.sandbox, self.checkout.tree)
        return ended

    async def _to_its_end(self, spec: BoxSpec) -> Ended:
        try:
            box = await self.sandbox.start(spec)
        except FileNotFoundError as exc:
            raise SandboxError(f"There is no {spec.argv[0]} where commands run.") from exc
        try:
            tail, cut = await keep_tail(box.stdout())
            return Ended(await box.wait(), tail, cut, box.stderr_tail())
        finally:
            await box.kill()
