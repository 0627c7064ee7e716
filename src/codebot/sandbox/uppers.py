"""The folders that a box writes into where layers show through below them: one box at a time each.

An overlay asks for a scratch folder on the same disk, and leaves things in it that tell a later one
that this one was never unmounted. So there is a new one for each box, beside the upper folder.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from codebot.domain.box import BoxSpec
from codebot.errors import SandboxError
from codebot.sandbox.locks import let_go, try_to_lock
from codebot.sandbox.room import not_written

_UNFIT = frozenset(",:\\")
"""What separates the options of a mount."""


SCRATCH = ".scratch"


def scratch_of(upper: Path) -> Path:
    """Say where the scratch folder of an upper folder is."""
    return upper.with_name(f"{upper.name}{SCRATCH}")


def reap_scratch(work_dir: Path) -> int:
    """Remove the scratch folders of killed boxes, in all tasks' folders; say how many there were.

    One whose box runs is left alone.
    """
    count = 0
    for scratch in work_dir.glob(f"*/*{SCRATCH}"):
        with suppress(SandboxError):
            Uppers([scratch.with_name(scratch.name.removesuffix(SCRATCH))]).release()
            count += 1
    return count


def uppers_of(spec: BoxSpec) -> tuple[Path, ...]:
    """Say which folders of a box have layers below them."""
    pairs = ((spec.workspace, spec.layers), (spec.home, spec.home_layers))
    return tuple(upper for upper, layers in pairs if layers)


class Uppers:
    """The upper folders of one box: held until it has ended, by a lock that ends with us, too."""

    def __init__(self, uppers: Iterable[Path]) -> None:
        """Take them, each with an empty scratch folder; raises `SandboxError` and `DiskFull`.

        Two overlays at once that write into one folder are undefined, says the kernel.
        """
        self._held: dict[Path, int] = {}
        try:
            for upper in uppers:
                self._take(upper)
        except OSError as error:
            self.release()
            place = Path(str(error.filename))
            raise not_written(error, place, f"{place} cannot be used: {error.strerror}.") from error
        except SandboxError:
            self.release()
            raise

    def release(self) -> None:
        """Let the next box have them; their scratch folders go."""
        for upper, descriptor in self._held.items():
            with suppress(OSError):
                _remove(scratch_of(upper))
            let_go(descriptor)
        self._held.clear()

    def _take(self, upper: Path) -> None:
        if _UNFIT & set(upper.name):
            raise SandboxError(f"Nothing can be laid below a folder with the name {upper.name}.")
        descriptor = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if not try_to_lock(descriptor):
            os.close(descriptor)
            raise SandboxError(f"Another box is writing to {upper}.")
        self._held[upper] = descriptor
        scratch = scratch_of(upper)
        _remove(scratch)
        scratch.mkdir(mode=0o700)


def _remove(scratch: Path) -> None:
    """Remove what an overlay leaves: a few folders that not even their owner may enter.

    They are the kernel's, and nothing in a box could ever put anything there.
    """
    if os.path.lexists(scratch):
        _open_up(scratch)
        shutil.rmtree(scratch)


def _open_up(folder: Path) -> None:
    folder.chmod(0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _open_up(Path(entry))
