"""Where the host's folders are for bwrap: in their place, or brought to another user's reach."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from codebot.sandbox.launcher import STAGE
from codebot.sandbox.program import Bubblewrap
from codebot.sandbox.uppers import scratch_of


class Staging:
    """The sources of one box: themselves, or where the launcher brings them for another user."""

    def __init__(self, program: Bubblewrap, uid: int | None, *, layered: bool = False) -> None:
        """Bring everything to where `uid` can reach it; None for a box of this very user.

        Then folders are in their place, unless it is `layered`: layers have to be mounted.
        """
        self._uid = uid
        self._mounts: list[dict[str, object]] = []
        self.is_needed = uid is not None or layered
        self.program = str(program.program)
        if self.is_needed and program.needs:
            # the package's folder and its libraries keep their distance
            for folder in program.needs:
                self._mount(folder, f"bwrap/{folder.name}", writable=False)
            inside = program.program.relative_to(program.needs[0].parent)
            self.program = f"{STAGE}/bwrap/{inside}"

    def at(self, path: Path, *, writable: bool) -> str:
        """Say where bwrap finds a folder or file of the host."""
        if not self.is_needed:
            return str(path)
        return self._mount(path, str(len(self._mounts)), writable=writable)

    def over(self, layers: Sequence[Path], upper: Path) -> str:
        """Say where bwrap finds a folder with the layers that show through below it, if any."""
        place = self.at(upper, writable=True)
        if layers:
            scratch = str(scratch_of(upper))
            self._mounts[-1] |= {"layers": [str(layer) for layer in layers], "scratch": scratch}
        return place

    @property
    def mounts(self) -> Sequence[Mapping[str, object]]:
        """What the launcher has to bring where bwrap finds it."""
        return self._mounts

    def _mount(self, source: Path, target: str, *, writable: bool) -> str:
        self._mounts.append({"source": str(source), "target": target, "writable": writable})
        return f"{STAGE}/{target}"
