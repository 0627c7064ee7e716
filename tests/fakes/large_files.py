"""A server of large files: the batch API of Git LFS, as much of it as the basic transfer needs.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TICKET = "RemoteAuth t1ck3t"
"""What the server gives out for an object, in the place of a credential."""


def is_about_large_files(path: str) -> bool:
    return "/info/lfs/" in path or path.startswith("/large/")


def pointer_to(content: bytes, size: int | None = None) -> str:
    """Write the pointer of some content, as `git lfs clean` does."""
    oid = hashlib.sha256(content).hexdigest()
    size = len(content) if size is None else size
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


@dataclass
class LargeFileShelf:
    """What it keeps, by hash. `refuses` answers the next batches; `lies` stand for true contents.

    `points_to` is where its answers send a client for the content, `header` what they name as
    headers in the place of a ticket.
    """

    kept: dict[str, bytes] = field(default_factory=dict)
    refuses: list[tuple[int, str]] = field(default_factory=list)
    lies: dict[str, bytes] = field(default_factory=dict)
    points_to: str | None = None
    gives_tickets: bool = True
    header: object = ""
    verified: list[str] = field(default_factory=list)

    def keep(self, content: bytes) -> str:
        """Keep some content; give the pointer to it."""
        self.kept[hashlib.sha256(content).hexdigest()] = content
        return pointer_to(content)

    def lets_in(self, path: str, headers: Mapping[str, str]) -> bool:
        """Say whether a request comes with what the server gave out for it."""
        return path.startswith("/large/") and headers.get("authorization") == TICKET

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, url: str
    ) -> tuple[int, bytes]:
        if path.endswith("/info/lfs/objects/batch"):
            assert headers["accept"].startswith("application/vnd.git-lfs+json")
            assert headers["content-type"].startswith("application/vnd.git-lfs+json")
            if self.refuses:
                status, message = self.refuses.pop(0)
                return status, json.dumps({"message": message}).encode()
            return 200, json.dumps(self._batch(json.loads(body), self.points_to or url)).encode()
        if path == "/large/verify":
            return self._verify(json.loads(body))
        if not path.startswith("/large/"):
            return 404, b'{"message": "no such thing"}'
        oid = path.rpartition("/")[2]
        return self._take(oid, body) if method == "PUT" else self._give(oid)

    def _verify(self, about: Mapping[str, Any]) -> tuple[int, bytes]:
        self.verified.append(about["oid"])
        return (200 if len(self.kept.get(about["oid"], b"")) == about["size"] else 404), b"{}"

    def _take(self, oid: str, content: bytes) -> tuple[int, bytes]:
        if hashlib.sha256(content).hexdigest() != oid:
            return 422, b'{"message": "not that content"}'
        self.kept[oid] = content
        return 200, b""

    def _give(self, oid: str) -> tuple[int, bytes]:
        content = self.lies.get(oid, self.kept.get(oid))
        return (404, b"{}") if content is None else (200, content)

    def _batch(self, asked: Mapping[str, Any], url: str) -> dict[str, Any]:
        header = {"Authorization": TICKET} if self.gives_tickets else {}
        return {
            "transfer": "basic",
            "objects": [
                {**one, **self._about(asked["operation"], one["oid"], url, header)}
                for one in asked["objects"]
            ],
        }

    def _about(
        self, operation: str, oid: str, url: str, header: Mapping[str, str]
    ) -> dict[str, Any]:
        place = {
            "href": f"{url}/large/{oid}",
            "header": header if self.header == "" else self.header,
        }
        if operation == "upload":
            if oid in self.kept:
                return {}
            verify = {"href": f"{url}/large/verify", "header": header}
            return {"actions": {"upload": place, "verify": verify}}
        if oid in self.kept or oid in self.lies:
            return {"actions": {"download": place}}
        return {"error": {"code": 404, "message": "Object does not exist"}}
