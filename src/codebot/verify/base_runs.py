"""What the tests said of bases: kept on disk, since a base's run says the same to every task."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from codebot.domain.box import ExitReason
from codebot.verify.verdict import TestRun

MOST = 500
"""Runs that are kept, the newest ones."""


@dataclass(frozen=True, slots=True)
class BaseRuns:
    """The kept runs, a file each."""

    folder: Path

    def find(self, key: str) -> TestRun | None:
        """Give a kept run; a file that cannot be read counts as none."""
        with suppress(OSError, ValidationError):
            return _codec().validate_json(self._file(key).read_bytes())
        return None

    def keep(self, key: str, run: TestRun) -> None:
        """Keep a run, unless another try may end otherwise: it was stopped, or lacks a tool."""
        is_final = run.exit.reason in {ExitReason.EXITED, ExitReason.TIMEOUT}
        if not is_final or run.why_not_tried:
            return
        with suppress(OSError):  # it would be found out again
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = self.folder / f".{uuid4().hex}"
            try:
                temporary.write_bytes(_codec().dump_json(run))
                temporary.replace(self._file(key))
            finally:
                temporary.unlink(missing_ok=True)
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        files = sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[MOST:]:
            file.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


@cache
def _codec() -> TypeAdapter[TestRun]:
    return TypeAdapter(TestRun)


def base_key(*parts: str) -> str:
    """Give the name under which runs with these circumstances are one and the same.

    >>> base_key("acme/shop", "c0ffee", "pytest") == base_key("acme/shop", "c0ffee", "pytest")
    True
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
