"""Ways out of a box that lead nowhere, for tests of what holds the box itself."""

from dataclasses import dataclass, field

from codebot.domain.box import Network, Outfit
from codebot.domain.ports import Doors
from codebot.domain.task import TaskId


@dataclass
class ClosedDoor:
    """Listening sockets that nobody serves."""

    doors: Doors

    async def close(self) -> None:
        self.doors.close()


@dataclass
class NoEgress:
    """Takes every listening socket and answers nothing; remembers whose they were."""

    served: list[tuple[TaskId, Network, Doors]] = field(default_factory=list)
    outfit_of_all: Outfit = Outfit()  # noqa: RUF009 - frozen

    async def outfit(self, network: Network) -> Outfit:
        del network
        return self.outfit_of_all

    async def serve(self, task_id: TaskId, network: Network, doors: Doors) -> ClosedDoor:
        self.served.append((task_id, network, doors))
        return ClosedDoor(doors)
