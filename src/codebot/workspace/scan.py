"""Looks through all that a change brings along for what must not leave this machine."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codebot.errors import ChangeRefused, SecretFound
from codebot.git.git import Git
from codebot.workspace import policy
from codebot.workspace.leaks import Leak, ScanTooSlow, find_leaks
from codebot.workspace.limits import Limits
from codebot.workspace.new_objects import Contents, NewObject, read_contents
from codebot.workspace.traces import find_traces


@dataclass(frozen=True, slots=True)
class Scan:
    """Looks at the objects of one repository.

    `holds_secret` says of some bytes whether they hold a credential of the service itself;
    `authority` gives pieces of the certificate by which boxes trust the gateway.
    """

    git: Git
    repository: Path
    limits: Limits
    holds_secret: Callable[[bytes], bool]
    authority: Callable[[], Sequence[bytes]] = tuple

    async def check_new_objects(self, base: str, objects: Sequence[NewObject]) -> None:
        """Refuse a change with a credential or our own gateway in it, or one that is too large.

        Looked at is every new object, also those that a later commit took back: all are pushed.
        Text that stood in `base` already betrays nothing, wherever it stands now.
        """
        policy.check_sizes(objects, self.limits)
        until = time.monotonic() + self.limits.scan_timeout.total_seconds()
        leaks: list[tuple[str, Leak]] = []
        traces: list[tuple[str, Leak]] = []
        async for contents in read_contents(self.git, self.repository, objects):
            leaks += await asyncio.to_thread(self._look_through, contents, until)
            traces += await asyncio.to_thread(self._look_for_traces, contents)
        if leaks:
            policy.check_leaks(await self._without_known(base, leaks))
        if traces:
            policy.check_traces(await self._without_known(base, traces))

    def _look_for_traces(self, contents: Contents) -> list[tuple[str, Leak]]:
        """Look whether anything names the gateway; where, only if something does."""
        authority = self.authority()
        if next(find_traces(contents.raw, authority), None) is None:
            return []
        return [
            (f"{_place(one, kind)}:{trace.line}", trace)
            for one, kind, content in contents.each()
            if kind == b"blob"
            for trace in find_traces(content, authority)
        ]

    async def check_large_file(self, one: NewObject, path: Path) -> None:
        """Refuse a large file with a credential in it; it is at `path`, and `one` names it."""
        until = time.monotonic() + self.limits.scan_timeout.total_seconds()
        content = await asyncio.to_thread(path.read_bytes)
        contents = Contents([one], b"%s blob %d\n%s\n" % (one.id, len(content), content))
        policy.check_leaks(await asyncio.to_thread(self._look_through, contents, until))
        policy.check_traces(await asyncio.to_thread(self._look_for_traces, contents))

    def _look_through(self, contents: Contents, until: float) -> list[tuple[str, Leak]]:
        if self.holds_secret(contents.raw):
            where = next(self._find_known(contents), "its commits")
            raise SecretFound(
                f"The agent's change holds a credential of this service in {where}; "
                "it is not pushed.",
                hint="Replace that credential, and find out how the agent came by it.",
                remedy="Take the credential out, and write it nowhere else: your work needs none.",
            )
        try:
            return list(_find_leaks(contents, until))
        except ScanTooSlow:
            raise ChangeRefused(
                "The agent's change could not be looked through for credentials in time.",
                hint="Generated files, of many megabytes, are the usual cause.",
                remedy="Leave generated files out of your commits.",
            ) from None

    def _find_known(self, contents: Contents) -> Iterator[str]:
        """Say where credentials of the service are; a path that is one itself is not said."""
        for one, kind, content in contents.each():
            if self.holds_secret(content):
                yield "a file" if self.holds_secret(one.path) else _place(one, kind)

    async def _without_known(
        self, base: str, leaks: Sequence[tuple[str, Leak]]
    ) -> list[tuple[str, Leak]]:
        """Leave out what stands in a file of `base`; it is looked for only when there is any."""
        values = {leak.value.encode("latin-1") for _, leak in leaks}
        known = await self.git.run(
            *("grep", "--text", "--only-matching", "-h", "--fixed-strings", "-f", "-", base, "--"),
            cwd=self.repository,
            stdin=b"\n".join(values),
            check=False,
        )
        return [one for one in leaks if one[1].value.encode("latin-1") not in known.stdout]


def _find_leaks(contents: Contents, until: float) -> Iterator[tuple[str, Leak]]:
    """Look at files, and at the names in folders; the bot writes messages anew, and masks them."""
    for one, kind, content in contents.each():
        if kind != b"commit":
            for leak in find_leaks(content, until):
                place = _place(one, kind)
                yield place if kind == b"tree" else f"{place}:{leak.line}", leak


def _place(one: NewObject, kind: bytes) -> str:
    match kind:
        case b"tree":
            return f"a name in {one.shown_path or 'the top folder'}"
        case b"commit":
            return f"the message of commit {one.id[:12].decode()}"
        case _:
            return one.shown_path
