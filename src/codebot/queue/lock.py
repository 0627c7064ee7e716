"""One process owns a data directory, and a work directory; a second one is told who."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from codebot.errors import ConfigError
from codebot.sandbox.locks import let_go, try_to_lock

LOCK_FILES = {"CODEBOT_DATA_DIR": "lock", "CODEBOT_WORK_DIR": "work.lock"}


def unusable(folder: Path, setting: str, error: OSError) -> ConfigError:
    """Give the error for a directory that a setting names and that cannot be made or written."""
    return ConfigError(
        (f"{folder} cannot be used: {error.strerror}.",),
        hint=f"Let this user write there, or name another directory in {setting}.",
    )


class DataDirLock:
    """An exclusive lock on a directory of the service, which ends with the process that holds it.

    The kernel keeps it (`flock`), so a killed service leaves none behind; the file's text only
    tells the next one whom to look for.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        setting: str = "CODEBOT_DATA_DIR",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Lock the directory that `setting` names; two settings may name the same one."""
        self._path = data_dir / LOCK_FILES[setting]
        self._setting = setting
        self._now = now
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises `ConfigError` naming the process that has it, and since when.

        The directory is made where it is not there; `ConfigError` as well where it cannot be.
        """
        descriptor = self._open()
        if not try_to_lock(descriptor):
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise ConfigError(
                (f"{self._path.parent} is in use by {holder or 'another process'}.",),
                hint=f"Stop that process, or give this one its own {self._setting}.",
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} since {self._since()}\n".encode())
        self._descriptor = descriptor

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise unusable(self._path.parent, self._setting, error) from error

    def release(self) -> None:
        """Let the directory go; nothing happens when it is not held."""
        if self._descriptor is not None:
            let_go(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Take the lock."""
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let it go."""
        self.release()

    def _since(self) -> str:
        """Say the present second, for people."""
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
