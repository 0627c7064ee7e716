"""Git over smart HTTP for the fake GitHub's repositories, behind the very tokens it issued."""

import asyncio
import base64
import re
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fakes.git_http import Request, _cgi

if TYPE_CHECKING:
    from fakes.github.server import FakeGitHub

PATH = re.compile(r"/(?P<owner>[^/]+)/(?P<name>[^/]+)\.git(?P<rest>/.*)")


async def answer_git(
    github: "FakeGitHub", scope: Any, headers: Mapping[str, str], body: bytes
) -> tuple[int, bytes, dict[str, str]]:
    """Give status, body and headers of the answer to a git client."""
    found = PATH.fullmatch(scope["path"])
    assert found is not None
    request = Request(scope["method"], found["rest"], scope["query_string"].decode(), headers, body)
    full_name = f"{found['owner']}/{found['name']}"
    username, password = _basic(headers.get("authorization", ""))
    if not github.may_git(username, password, full_name, write=request.service == "push"):
        return 401, b"who are you?", {"www-authenticate": 'Basic realm="GitHub"'}
    repository = github.world.repository(full_name)
    if repository is None or repository.folder is None:
        return 404, b"not found", {}
    folder = repository.folder
    inside = Request(request.method, f"/{folder.name}{request.path}", request.query, headers, body)
    backend = await asyncio.to_thread(
        subprocess.run,
        ["git", "http-backend"],
        input=body,
        env=_cgi(folder.parent, inside),
        capture_output=True,
        check=False,
    )
    head, _, content = backend.stdout.partition(b"\r\n\r\n")
    answered = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
    status = int(answered.pop("Status", "200").split()[0])
    return status, content, answered


def _basic(authorization: str) -> tuple[str, str]:
    """Read a Basic header; anything else is nobody."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme != "Basic":
        return "", ""
    username, _, password = base64.b64decode(encoded).decode().partition(":")
    return username, password
