"""The border: what the agent made comes in as objects, is judged, and becomes commits of the bot.

Nothing here opens a file of the agent's tree. The service's git works on objects in a repository
of its own, without a checkout: seen to execute nothing, whatever they hold.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from codebot.domain.outcome import Change, Checkout
from codebot.domain.repository import Identity
from codebot.errors import ChangeRefused, GitFailed, NothingChanged
from codebot.git.git import Git
from codebot.workspace.at_once import at_once
from codebot.workspace.bundle import read_bundle_head
from codebot.workspace.commits import Commit, read_commits, recreate
from codebot.workspace.limits import Limits
from codebot.workspace.listings import Difference, read_difference

PORTION = 16 * 1024 * 1024
"""Bytes of unpacked objects that are looked through at once; a larger one comes alone."""

LONGEST_HEAD = 100
"""Bytes that git writes around an object: its id, type and size."""


@dataclass(frozen=True, slots=True)
class Border:
    """Judges by `limits` what comes into `checkout.repository`.

    `holds_secret` says of some bytes whether they may not leave this machine.
    """

    git: Git
    checkout: Checkout
    limits: Limits
    holds_secret: Callable[[bytes], bool]

    async def take_in(self, bundle: BinaryIO, *, author: Identity, message: str) -> Change:
        """Give the bundle's commits as a change of the bot; `message` is for those without one.

        Raises `ChangeRefused` with the rule that was broken.
        """
        bundle.seek(0)
        tip = read_bundle_head(bundle)
        os.lseek(bundle.fileno(), bundle.tell(), os.SEEK_SET)  # past what Python read ahead
        try:
            await self._index(bundle)
            difference, commits = await self._inspect(tip)
            bots_tip = await recreate(
                self.git, self.checkout.repository, commits, author=author, fallback=message
            )
        except GitFailed as exc:
            raise ChangeRefused(f"Git refuses what the agent made. {exc.detail}") from exc
        return Change(self.base, bots_tip or tip, tip, len(commits), difference.files)

    @property
    def base(self) -> str:
        """The commit that the agent started from."""
        return self.checkout.base_commit

    async def _index(self, pack: BinaryIO) -> None:
        """Take the objects in, each checked: no `.git` or `..` in a tree, no hostile submodule."""
        await self.git.run(
            *("index-pack", "--strict", "--fix-thin", "--stdin"),
            f"--max-input-size={self.limits.max_pack_bytes}",
            cwd=self.checkout.repository,
            stdin=pack,
            timeout=self.limits.collect_timeout,
        )

    async def _inspect(self, tip: str) -> tuple[Difference, list[Commit]]:
        """Look at the objects from every side at once, and hold them against the rules."""
        async with at_once() as group:
            comparing = group.create_task(self._compare(tip))
            reading = group.create_task(
                read_commits(self.git, self.checkout.repository, tip, self.base)
            )
            group.create_task(self._check_ancestry(tip))
            group.create_task(self._check_objects(tip))
        difference, commits = comparing.result(), reading.result()
        self._check_files(difference)
        if len(commits) > self.limits.max_commits:
            raise ChangeRefused(f"The agent made {len(commits)} commits; that is too many.")
        return difference, commits

    async def _compare(self, tip: str) -> Difference:
        compared = await self.git.run(
            *("diff-tree", "-r", "-z", "-M", "--raw", "--numstat", self.base, tip),
            cwd=self.checkout.repository,
        )
        return read_difference(compared.stdout)

    async def _check_ancestry(self, tip: str) -> None:
        ancestry = await self.git.run(
            *("merge-base", "--is-ancestor", self.base, tip),
            cwd=self.checkout.repository,
            check=False,
        )
        if ancestry.code != 0:
            raise ChangeRefused(f"The agent's commits do not lead on from {self.base}.")

    async def _check_objects(self, tip: str) -> None:
        """Look at every new object, also those that a later commit took back: all are pushed."""
        listed = await self.git.run(
            *("rev-list", "--objects", tip, "--not", self.base), cwd=self.checkout.repository
        )
        names = [line.partition(b" ") for line in listed.stdout.splitlines()]
        sizes = await self._ask_for("--batch-check=%(objectsize)", [id_ for id_, _, _ in names])
        objects = [
            _Object(id_, int(size), path)
            for (id_, _, path), size in zip(names, sizes.split(), strict=True)
        ]
        for one in objects:
            self._check_size(one)
        for some in _in_portions(objects):
            contents = await self._ask_for("--batch", [one.id for one in some])
            if await asyncio.to_thread(self.holds_secret, contents):
                raise ChangeRefused(
                    "The agent's change holds a credential of this service; it is not pushed.",
                    hint="Replace that credential, and find out how the agent came by it.",
                )

    async def _ask_for(self, what: str, ids: Sequence[bytes]) -> bytes:
        asked = await self.git.run(
            *("cat-file", what),
            cwd=self.checkout.repository,
            stdin=b"".join(id_ + b"\n" for id_ in ids),
            max_output=PORTION + self.limits.max_file_bytes + LONGEST_HEAD * len(ids),
        )
        return asked.stdout

    def _check_size(self, one: "_Object") -> None:
        if one.size > self.limits.max_file_bytes:
            path, megabytes = one.path.decode(errors="replace"), self.limits.max_file_bytes // 2**20
            raise ChangeRefused(
                f"The agent added {path}, a file of more than {megabytes} MiB.",
                hint="Say in the task that such files must not be committed, then retry.",
            )

    def _check_files(self, difference: Difference) -> None:
        if not difference.files:
            raise NothingChanged("The agent made no changes.")
        if difference.gitlinks:
            raise ChangeRefused(
                f"The agent added or moved a submodule: {', '.join(difference.gitlinks[:10])}.",
                hint="A repository of its own in the tree is not carried over; ask for its files.",
            )
        if len(difference.files) > self.limits.max_files:
            raise ChangeRefused(
                f"The agent changed {len(difference.files)} files; that is too many.",
                hint="Build output that .gitignore does not name is the usual cause.",
            )


@dataclass(frozen=True, slots=True)
class _Object:
    """A commit, tree or file that is new; `path` is empty for a commit."""

    id: bytes
    size: int
    path: bytes


def _in_portions(objects: Sequence[_Object]) -> Iterator[list[_Object]]:
    portion: list[_Object] = []
    room = PORTION
    for one in objects:
        if portion and one.size > room:
            yield portion
            portion, room = [], PORTION
        portion.append(one)
        room -= one.size
    if portion:
        yield portion
