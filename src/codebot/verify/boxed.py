"""One command in the task's box, from start to end, with the tail of what it printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from codebot.domain.box import BoxSpec, Exit, Network
from codebot.domain.outcome import Checkout
from codebot.domain.ports import Sandbox
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.verify.output import keep_tail


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended: how, the last part of its stdout, and the bytes cut before that."""

    exit: Exit
    tail: bytes
    cut: int


@dataclass(frozen=True, slots=True)
class Boxed:
    """Runs commands in the tree of one task."""

    sandbox: Sandbox
    task_id: TaskId
    checkout: Checkout

    async def run(
        self,
        *argv: str,
        limit: timedelta,
        network: Network,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Ended:
        """Run one command; nothing of it is left when this returns or is cancelled.

        Raises `SandboxError` when it cannot even be started.
        """
        spec = BoxSpec(
            task_id=self.task_id,
            argv=argv,
            workspace=self.checkout.tree,
            home=self.checkout.home,
            network=network,
            timeout=limit,
            env=env,
            read_only=(self.checkout.mirror,),
        )
        try:
            box = await self.sandbox.start(spec)
        except FileNotFoundError as exc:
            raise SandboxError(f"There is no {argv[0]} where the tests run.") from exc
        try:
            tail, cut = await keep_tail(box.stdout())
            return Ended(await box.wait(), tail, cut)
        finally:
            await box.kill()
