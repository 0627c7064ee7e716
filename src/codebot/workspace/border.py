"""The border: what the agent made comes in as objects, is judged, and becomes commits of the bot.

Nothing here opens a file of the agent's tree. The service's git works on objects in a repository
of its own, without a checkout: seen to execute nothing, whatever they hold.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from codebot.domain.outcome import Change, Checkout
from codebot.domain.repository import Identity
from codebot.errors import ChangeRefused, GitFailed
from codebot.git.git import Git
from codebot.workspace import policy
from codebot.workspace.at_once import at_once
from codebot.workspace.bundle import read_bundle_head
from codebot.workspace.commits import Commit, read_commits, recreate
from codebot.workspace.filters import find_unfiltered
from codebot.workspace.inherited import index_strictly
from codebot.workspace.large_changes import Large, LargeChanges
from codebot.workspace.limits import Limits
from codebot.workspace.listings import Difference, Touch, read_difference, read_touches
from codebot.workspace.messages import clean_message
from codebot.workspace.new_objects import NewObject, list_new_objects
from codebot.workspace.scan import Scan
from codebot.workspace.tree_links import find_new_leaving_links

"""A file in the task's own repository: the objects of the base that git need not check again."""


@dataclass(frozen=True, slots=True)
class Border:
    """Judges by `limits` what comes into `checkout.repository`.

    `holds_secret` says of some bytes whether they may not leave this machine; `tame` makes the
    words that go with a change fit to be pushed. `authority` gives what it may not carry besides:
    pieces of the certificate by which boxes trust the gateway. `large` takes in what Git LFS keeps,
    None where that is not run.
    """

    git: Git
    checkout: Checkout
    limits: Limits
    holds_secret: Callable[[bytes], bool]
    tame: Callable[[str], str]
    authority: Callable[[], Sequence[bytes]] = tuple
    large: LargeChanges | None = None

    async def take_in(self, bundle: BinaryIO, *, author: Identity, message: str) -> Change:
        """Give the bundle's commits as a change of the bot; `message` is for those without one.

        Raises `ChangeRefused` with the rule that was broken, and with the commit where there is
        one to be looked at.
        """
        bundle.seek(0)
        tip = read_bundle_head(bundle)
        os.lseek(bundle.fileno(), bundle.tell(), os.SEEK_SET)  # past what Python read ahead
        try:
            await self._index(bundle)
            return await self._judge(tip, author, message)
        except ChangeRefused as refusal:
            refusal.tip_commit = tip
            raise
        except GitFailed as exc:
            raise ChangeRefused(f"Git refuses what the agent made. {exc.detail}") from exc

    @property
    def base(self) -> str:
        """The commit that the agent started from."""
        return self.checkout.base_commit

    @property
    def _scan(self) -> Scan:
        return Scan(
            *(self.git, self.checkout.repository, self.limits, self.holds_secret), self.authority
        )

    async def _index(self, pack: BinaryIO) -> None:
        """Take the objects in, each checked."""
        start = os.lseek(pack.fileno(), 0, os.SEEK_CUR)

        async def index(strict: str) -> None:
            os.lseek(pack.fileno(), start, os.SEEK_SET)
            await self.git.run(
                *("index-pack", strict, "--fix-thin", "--stdin"),
                f"--max-input-size={self.limits.max_pack_bytes}",
                cwd=self.checkout.repository,
                stdin=pack,
                timeout=self.limits.collect_timeout,
            )

        await index_strictly(self.git, self.checkout.repository, self.base, index)

    async def _judge(self, tip: str, author: Identity, message: str) -> Change:
        difference, commits, large = await self._inspect(tip)
        bots_tip = await recreate(
            self.git,
            self.checkout.repository,
            commits,
            author=author,
            clean=lambda words: clean_message(words, message, self.tame),
        )
        return Change(
            *(self.base, bots_tip or tip, tip, len(commits), difference.files),
            large_objects=large.new,
        )

    async def _inspect(self, tip: str) -> tuple[Difference, list[Commit], Large]:
        """Look at the objects from every side at once, and hold them against the rules."""
        async with at_once() as group:
            comparing = group.create_task(self._compare(tip))
            reading = group.create_task(
                read_commits(self.git, self.checkout.repository, tip, self.base)
            )
            touching = group.create_task(self._read_touches(tip))
            group.create_task(self._check_ancestry(tip))
            listing = group.create_task(
                list_new_objects(self.git, self.checkout.repository, tip, self.base)
            )
            scanning = group.create_task(_refusal_of(self._look_through(listing)))
            enlarging = group.create_task(self._take_in_large(listing))
        difference, commits, (large, too_much) = (
            comparing.result(),
            reading.result(),
            enlarging.result(),
        )
        touches = [*touching.result(), *difference.touches]
        checks = (
            asyncio.to_thread(policy.check_amount, difference, len(commits), self.limits),
            self._check_paths(commits, touches),
            self._check_filters(tip, touches, large),
        )
        found = [scanning.result(), too_much]
        policy.refuse([*found, *[await _refusal_of(check) for check in checks]])
        return difference, commits, large

    async def _look_through(self, listing: Awaitable[list[NewObject]]) -> None:
        await self._scan.check_new_objects(self.base, await listing)

    async def _take_in_large(
        self, listing: Awaitable[list[NewObject]]
    ) -> tuple[Large, ChangeRefused | None]:
        """Give what Git LFS keeps of the change, or why it may not go out."""
        if self.large is None:
            return Large(), None
        try:
            return await self.large.take_in(await listing, self._scan), None
        except ChangeRefused as refusal:
            return Large(), refusal

    async def _compare(self, tip: str) -> Difference:
        compared = await self.git.run(
            *("diff-tree", "-r", "-z", "-M", "--raw", "--numstat", self.base, tip),
            cwd=self.checkout.repository,
        )
        return read_difference(compared.stdout)

    async def _read_touches(self, tip: str) -> list[Touch]:
        """Give what each commit touches, the first one first.

        Of a merge, that is what is as in none of its parents.
        """
        listed = await self.git.run(
            *("log", "-z", "--raw", "--no-abbrev", "-c", "--no-renames"),
            *("--reverse", "--topo-order"),
            *("--format=%x00%H", tip, "--not", self.base, "--alternate-refs"),
            cwd=self.checkout.repository,
        )
        return await asyncio.to_thread(lambda: list(read_touches(listed.stdout)))

    async def _check_ancestry(self, tip: str) -> None:
        ancestry = await self.git.run(
            *("merge-base", "--is-ancestor", self.base, tip),
            cwd=self.checkout.repository,
            check=False,
        )
        if ancestry.code != 0:
            raise ChangeRefused(
                f"The agent's commits do not lead on from {self.base}.",
                remedy="Bring your work back onto that commit.",
            )

    async def _check_paths(self, commits: list[Commit], touches: list[Touch]) -> None:
        protected = self.limits.protected_paths
        checks = (
            asyncio.to_thread(policy.check_touches, touches, protected),
            self._check_links(commits, touches),
        )
        policy.refuse([await _refusal_of(check) for check in checks])

    async def _check_links(self, commits: list[Commit], touches: list[Touch]) -> None:
        policy.check_links(
            await find_new_leaving_links(
                self.git, self.checkout.repository, self.base, commits, touches
            )
        )

    async def _check_filters(self, tip: str, touches: list[Touch], large: Large) -> None:
        policy.check_filters(
            await find_unfiltered(
                self.git,
                self.checkout.repository,
                base=self.base,
                tip=tip,
                touches=touches,
                allowed=self.limits.allowed_filters,
                pointers=large.pointers,
            ),
            runs_lfs=self.large is not None,
        )


async def _refusal_of(check: Awaitable[None]) -> ChangeRefused | None:
    """Give what a check raises as a value, so that the others have their say, too."""
    try:
        await check
    except ChangeRefused as refusal:
        return refusal
    return None
