"""A collected change on its way to another node: a pack of its commits, on top of the base."""

from codebot.domain.outcome import Change, Checkout
from codebot.git.git import Git
from codebot.workspace.inherited import index_strictly

LARGEST = 32 * 1024**2
"""Bytes of a pack that the store keeps for another node; without it the agent begins anew there."""


async def pack_change(git: Git, checkout: Checkout, change: Change) -> bytes | None:
    """Give what the base has not; None for more than `LARGEST`, and for files of Git LFS."""
    if change.large_objects:
        return None
    packed = await git.run(
        *("pack-objects", "--quiet", "--revs", "--thin", "--stdout"),
        cwd=checkout.repository,
        stdin=f"{change.tip_commit}\n^{change.base_commit}\n".encode(),
        max_output=LARGEST,
        check=False,
    )
    return None if packed.code != 0 or packed.truncated else packed.stdout


async def unpack_change(git: Git, checkout: Checkout, parcel: bytes) -> None:
    """Put it into the repository of a checkout of the same base; raises `GitFailed`.

    It was checked before it was packed, by another node: what lies in a database since is checked
    again.
    """

    async def index(strict: str) -> None:
        await git.run(
            *("index-pack", strict, "--fix-thin", "--stdin"), cwd=checkout.repository, stdin=parcel
        )

    await index_strictly(git, checkout.repository, checkout.base_commit, index)
