"""Ways out of a box that lead nowhere, for tests of what holds the box itself."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from codebot.domain.box import Network
from codebot.domain.task import TaskId


@dataclass
class ClosedDoor:
    """A listening socket that nobody serves."""

    listener: socket.socket

    async def close(self) -> None:
        self.listener.close()


@dataclass
class NoEgress:
    """Takes every listening socket and answers nothing; remembers whose they were."""

    served: list[tuple[TaskId, Network, socket.socket]] = field(default_factory=list)

    def environment(self, network: Network) -> Mapping[str, str]:
        del network
        return {}

    async def serve(self, task_id: TaskId, network: Network, listener: socket.socket) -> ClosedDoor:
        self.served.append((task_id, network, listener))
        return ClosedDoor(listener)
