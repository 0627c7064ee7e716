"""A forge in memory, for tests of what stands above one."""

from collections.abc import Callable, Sequence

from codebot.domain.effect import Permit
from codebot.domain.outcome import NewPullRequest, PullRequest
from codebot.domain.ports import Finding
from codebot.domain.repository import Identity, RemoteAccess, Repository
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.errors import ForgeError, ForgeNotFound, PullRequestRefused


class MemoryForge:
    """Keeps to the contract of `Forge`. `fail_next` makes one call raise, by method name.

    `branches` are those of every repository, each with its commit; repositories whose full name is
    in `missing` are not there. `url` says where git finds a repository.
    """

    name = "memory"

    def __init__(self, *, default_branch: str = "main") -> None:
        self.default = default_branch
        self.branches: dict[str, str] = {default_branch: "base"}
        self.opened: list[tuple[Repository, NewPullRequest, TaskId]] = []
        self.states: dict[int, str] = {}
        self.missing: set[str] = set()
        self.forgotten: list[Repository] = []
        self.token = Secret("ghs_memory")
        self.url: Callable[[Repository], str] = lambda repository: repository.url
        self._failures: dict[str, list[ForgeError]] = {}

    def fail_next(self, method: str, error: ForgeError) -> None:
        """Let the next call of a method raise this."""
        self._failures.setdefault(method, []).append(error)

    async def check(self) -> Sequence[Finding]:
        self._fail("check")
        return (Finding("memory forge", ok=True, detail="always there"),)

    async def identity(self) -> Identity:
        self._fail("identity")
        return Identity("codebot[bot]", "1+codebot[bot]@users.noreply.example", "codebot[bot]")

    async def default_branch(self, repository: Repository) -> str:
        self._fail("default_branch")
        if repository.full_name in self.missing:
            raise ForgeNotFound(f"{repository.full_name} is not there.")
        return self.default

    async def read_access(self, repository: Repository) -> RemoteAccess:
        self._fail("read_access")
        return RemoteAccess(self.url(repository), self.token)

    async def source_access(self, repository: Repository) -> RemoteAccess:
        self._fail("source_access")
        return RemoteAccess(self.url(repository), self.token)

    async def write_access(self, repository: Repository) -> RemoteAccess:
        self._fail("write_access")
        return RemoteAccess(self.url(repository), self.token)

    async def forget_access(self, repository: Repository) -> None:
        self.forgotten.append(repository)

    async def find_pull_request(self, repository: Repository, head: str) -> PullRequest | None:
        self._fail("find_pull_request")
        for number, (where, new, _) in reversed(list(enumerate(self.opened, start=1))):
            if where == repository and new.head == head:
                return self._pull_request(number, where, new)
        return None

    async def open_pull_request(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        self._fail("open_pull_request")
        if found := await self.find_pull_request(repository, new.head):
            if found.state == "closed":
                raise PullRequestRefused(f"{found.url} was closed.")
            return found
        for branch in (new.head, new.base):
            if branch not in self.branches:
                raise PullRequestRefused(f"There is no branch {branch}.")
        if self.branches[new.head] == self.branches[new.base]:
            raise PullRequestRefused("There are no commits between them.")
        self.opened.append((repository, new, task_id))
        return self._pull_request(len(self.opened), repository, new)

    def branch_url(self, repository: Repository, branch: str) -> str:
        return f"https://memory.example/{repository.full_name}/tree/{branch}"

    def _pull_request(self, number: int, where: Repository, new: NewPullRequest) -> PullRequest:
        url = f"https://memory.example/{where.full_name}/pull/{number}"
        return PullRequest(number, url, self.states.get(number, "open"), new.draft)

    def _fail(self, method: str) -> None:
        if waiting := self._failures.get(method):
            raise waiting.pop(0)
