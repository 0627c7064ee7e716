"""What the runner reads and writes in the HOME of an agent, which the agent may have prepared.

An earlier round may have left a symbolic link, a folder or a pipe wherever a file is about to be
written. So every step goes by a descriptor of the folder before it, follows no link, and removes
what is in the way; a folder is put aside, since it may be deeper than anybody can walk.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from stat import S_ISDIR
from uuid import uuid4

from codebot.sandbox.room import not_written

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def write_files(home: Path, files: Mapping[str, str]) -> None:
    """Write each text below HOME (relative path to content), readable by its owner only."""
    try:
        for name, content in files.items():
            _write(home, PurePosixPath(name), content.encode(errors="replace"))
    except OSError as exc:
        words = f"The agent's HOME cannot be written: {exc.strerror}."
        raise not_written(exc, home, words) from exc


def has_session(home: Path, pattern: str) -> bool:
    """Say whether there is a file of a session to go on with; `pattern` is a glob below HOME."""
    try:
        return bool(pattern) and any(path.is_file() for path in home.glob(pattern))
    except OSError:  # of a link that no system follows
        return False


def forget_session(home: Path, pattern: str) -> None:
    """Remove the files of a session that cannot be resumed, so that its id is free again."""
    with suppress(OSError):
        for path in home.glob(pattern):
            path.unlink()


def _write(home: Path, name: PurePosixPath, content: bytes) -> None:
    folder = os.open(home, FOLDER)
    try:
        for part in name.parts[:-1]:
            deeper = _open_folder(part, folder)
            os.close(folder)
            folder = deeper
        _replace_file(name.name, folder, content)
    finally:
        os.close(folder)


def _open_folder(name: str, parent: int) -> int:
    """Open a folder of ours, made anew when something else has its name."""
    if not _is_folder(name, parent):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, FOLDER, dir_fd=parent)


def _replace_file(name: str, folder: int, content: bytes) -> None:
    """Write beside and rename over: a link or pipe of that name is replaced, never opened."""
    temporary, aside = f".{uuid4().hex}", f".{uuid4().hex}"
    if _is_folder(name, folder):
        os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    descriptor = os.open(temporary, NEW_FILE, 0o600, dir_fd=folder)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(content)
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_folder(name: str, parent: int) -> bool:
    try:
        return S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
