"""Which repository a task is about, and how to reach it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from codebot.domain.secret import Secret


class ForgeKind(StrEnum):
    """Where a repository lives."""

    GITHUB = "github"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository, in parts that were checked; `url` is rebuilt from them.

    On GitHub `host` is `HOST` or `HOST:PORT` and `url` ends in `.git`. A local one has the host
    `localhost`, its absolute folder in `path` and as `url`, and its folder's name as `name`.
    """

    forge: ForgeKind
    host: str
    owner: str
    name: str
    url: str
    path: Path | None = None

    @property
    def full_name(self) -> str:
        """`owner/name`, as people and patterns write it.

        >>> Repository(ForgeKind.GITHUB, "github.com", "pallets", "flask", "-").full_name
        'pallets/flask'
        """
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Source:
    """A repository that a task only reads from, and whether the forge's credential is for it."""

    repository: Repository
    uses_credential: bool


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """What git needs to fetch from or push to a repository.

    `url` holds no credential; `token` (None for local folders) is handed to git through a pipe
    as the password of `username`, for the host of `url` only.
    """

    url: str
    token: Secret | None = None
    username: str = "x-access-token"


@dataclass(frozen=True, slots=True)
class Identity:
    """The author of the bot's commits, and the login it acts as on the forge."""

    name: str
    email: str
    login: str = ""
