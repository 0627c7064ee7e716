"""Repositories of the size of known ones, the same every time."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

FLASK, SYMPY = 236, 2087
"""How many files they have."""

FOLDERS = 30
COMMITS = 300

_WORDS = ("request", "response", "session", "template", "context", "handler", "return", "self")


def make_repository(bare: Path, files: int = FLASK) -> Path:
    """Make a bare repository with so many files on its branch `main`."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    stream = "".join(_stream(random.Random(files), files))
    subprocess.run(
        ["git", "fast-import", "--quiet", "--done"], cwd=bare, input=stream.encode(), check=True
    )
    return bare


def _stream(chance: random.Random, count: int) -> Iterator[str]:
    """Give all files in the first commit, then changes to one file each (git-fast-import(1))."""
    files = [f"part{number % FOLDERS:02}/module{number:03}.py" for number in range(count)]
    for commit in range(COMMITS):
        yield "commit refs/heads/main\n"
        yield f"committer Ada <ada@example.org> {1_700_000_000 + commit} +0000\n"
        yield from _data(f"Commit {commit}\n")
        for name in files if commit == 0 else [chance.choice(files)]:
            yield f"M 100644 inline {name}\n"
            yield from _data(_text(chance))
    yield "done\n"


def _text(chance: random.Random) -> str:
    """Give a file: half of them are below 3 kB, a few are of 30 kB and more, as in flask."""
    size = min(chance.lognormvariate(8, 1.2), 60_000)
    lines, length = [], 0
    while length < size:
        line = " ".join(chance.choices(_WORDS, k=8)) + f" {chance.random()}"
        lines.append(line)
        length += len(line) + 1
    return "\n".join([*lines, ""])


def _data(text: str) -> Iterator[str]:
    yield f"data {len(text)}\n{text}\n"
