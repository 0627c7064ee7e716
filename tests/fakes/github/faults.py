"""The ways in which GitHub fails, and the answers it gives then."""

import re
from dataclasses import dataclass, field

DOCS = "https://docs.github.com/rest"


@dataclass
class Fault:
    """Goes wrong `times` times at calls that match; `after` means that the call took effect."""

    kind: str
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    after: bool = False
    retry_after: int | None = None
    location: str = ""
    hits: int = field(default=0, init=False)

    def matches(self, method: str, path: str) -> bool:
        """Say whether this call is the one that goes wrong."""
        if self.hits >= self.times:
            return False
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


@dataclass(frozen=True)
class Broken:
    """An answer as a broken GitHub gives it. `missing` bytes are promised and never sent."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    missing: int = 0


def _message(text: str) -> bytes:
    return f'{{"message": "{text}", "documentation_url": "{DOCS}"}}'.encode()


ANSWERS = {
    "401": Broken(401, _message("Bad credentials")),
    "403": Broken(403, _message("Resource not accessible by integration")),
    "secondary": Broken(403, _message("You have exceeded a secondary rate limit.")),
    "429": Broken(429, _message("Too many requests")),
    "500": Broken(500, _message("Server Error")),
    "502": Broken(502, b"<html>Bad gateway</html>", "text/html"),
    "html": Broken(200, b"<!DOCTYPE html><title>Sign in</title>", "text/html"),
    "empty": Broken(200),
    "cut": Broken(200, b'{"id": ', missing=1000),
}


def broken_answer(fault: Fault, reset: int) -> Broken:
    """Give what the client gets to see; `reset` is when the hourly limit starts anew."""
    if fault.kind == "exhausted":
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
        return Broken(403, _message("API rate limit exceeded"), headers=headers)
    if fault.kind == "redirect":
        return Broken(302, headers={"location": fault.location})
    answer = ANSWERS[fault.kind]
    if fault.retry_after is None:
        return answer
    headers = {"retry-after": str(fault.retry_after)}
    return Broken(answer.status, answer.body, answer.content_type, headers)
