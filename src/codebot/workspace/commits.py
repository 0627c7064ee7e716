"""The agent's commits, made again by the bot: same trees, same shape, another author.

One `git fast-import` makes them all. Nothing but the old commits decides what comes out, so that
a step that is done again after a crash gives the very same commits.
https://git-scm.com/docs/git-fast-import
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from codebot.domain.repository import Identity
from codebot.git.git import Git

REF = "refs/codebot/change"

_FORMAT = "--format=%H%n%T%n%P%n%ct%n%B"
_NOT_IN_A_NAME = re.compile(r"[<>\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Commit:
    """What is taken over of a commit. `time` is in seconds since 1970, UTC."""

    id: str
    tree: str
    parents: tuple[str, ...]
    time: int
    message: str


async def read_commits(git: Git, repository: Path, tip: str, base: str) -> list[Commit]:
    """Give what the agent committed, parents first.

    Commits that the mirror has already (of a branch that was merged) are not the agent's.
    """
    log = await git.run(
        *("log", "-z", "--reverse", "--topo-order", _FORMAT, tip),
        *("--not", base, "--alternate-refs"),
        cwd=repository,
    )
    return [_read(record) for record in log.stdout.split(b"\0") if record]


async def recreate(
    git: Git,
    repository: Path,
    commits: Sequence[Commit],
    *,
    author: Identity,
    clean: Callable[[str], str],
) -> str | None:
    """Make the commits again with `author`; give the last one's new id, None without any.

    `clean` makes a message of what the agent wrote as one.
    """
    if not commits:
        return None
    messages = []
    for commit in commits:
        messages.append(clean(commit.message).encode())
        await asyncio.sleep(0)  # a thousand take seconds: others get their turn
    stream = b"".join(_stream(commits, messages, author))
    made = await git.run("fast-import", "--quiet", "--force", cwd=repository, stdin=stream)
    return made.text


def _read(record: bytes) -> Commit:
    id_, tree, parents, time, message = record.decode(errors="replace").split("\n", 4)
    return Commit(id_, tree, tuple(parents.split()), int(time or 0), message)


def _stream(
    commits: Sequence[Commit], messages: Sequence[bytes], author: Identity
) -> Iterator[bytes]:
    marks = {commit.id: f":{number}" for number, commit in enumerate(commits, 1)}
    name, email = (_NOT_IN_A_NAME.sub("", text).strip() for text in (author.name, author.email))
    for commit, message in zip(commits, messages, strict=True):
        who = f"{name} <{email}> {max(commit.time, 0)} +0000"
        yield f"reset {REF}\ncommit {REF}\nmark {marks[commit.id]}\n".encode()
        yield f"author {who}\ncommitter {who}\ndata {len(message)}\n".encode() + message
        for word, parent in zip(chain(["from"], repeat("merge")), commit.parents, strict=False):
            yield f"{word} {marks.get(parent, parent)}\n".encode()
        yield f"M 040000 {commit.tree} \n".encode()
    yield f"get-mark {marks[commits[-1].id]}\n".encode()
