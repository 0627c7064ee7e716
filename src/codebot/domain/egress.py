"""What a box tried to reach, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum


class AccessVerdict(StrEnum):
    """Whether a box was let through."""

    ALLOWED = "allowed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Access:
    """One attempt to reach a host. `reason` is "" when it was allowed; bytes as the box sees it."""

    host: str
    port: int
    verdict: AccessVerdict
    reason: str = ""
    sent: int = 0
    received: int = 0
