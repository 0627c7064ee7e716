"""What a server of large files says: its answers, as far as they are read.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from codebot.domain.outcome import LargeObject

MEDIA_TYPE = "application/vnd.git-lfs+json"
LONGEST_WORDS = 300
"""Characters of what a server says that go on to people."""
MOST_AT_ONCE = 100
"""Objects in one question, as many as Git LFS itself asks for."""


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Action(_Read):
    """Where an object goes to or comes from, and the headers to be sent there."""

    href: str
    header: Mapping[str, str] | None = None


class Refused(_Read):
    """Why the server does nothing about one object."""

    code: int
    message: str = ""

    @property
    def words(self) -> str:
        """Give what it says, on one line and not without end."""
        return " ".join(self.message[:LONGEST_WORDS].split())


class Answered(_Read):
    """What the server says of one object; without actions there is nothing to be done."""

    oid: str
    size: int = 0
    actions: Mapping[str, Action] | None = None
    error: Refused | None = None

    def action(self, name: str) -> Action | None:
        """Give one of its actions, if there is that one."""
        return (self.actions or {}).get(name)


class Batch(_Read):
    """The whole answer."""

    transfer: str = "basic"
    objects: Sequence[Answered]


class Told(_Read):
    """What goes with a status that is no success."""

    message: str = ""


def question(operation: str, objects: Sequence[LargeObject]) -> dict[str, object]:
    """Write the question about some objects."""
    return {
        "operation": operation,
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": one.oid, "size": one.size} for one in objects],
    }
