"""Layers of environments: what a set-up left in the tree and in HOME, kept for the next task.

Only what comes from a base branch is kept here. What a task's own commit needs is made in the
task's own folder, so that no change can poison another's tests.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from codebot.workspace.folders import PRIVATE, disk_errors
from codebot.workspace.shelf import ABOUT, Hold, Kept, Shelf

FORMAT = "2"
"""To be changed when a layer of before would not do any more."""

FACTS = "facts"

MakeLayer = Callable[[Path, Path], Awaitable[Mapping[str, str]]]
"""Fills an empty tree and an empty HOME, and says of them what must be known with them."""


@dataclass(frozen=True, slots=True)
class LayerKey:
    """What decides whether a kept layer fits.

    `recipe` is its whole text; `keys` the contents of the files that decide, or their object ids;
    `tools` the versions of the programs that it used. By which means trees come to be here does
    not matter: a layer is made in plain folders, which can be laid below a tree or copied into it.
    """

    repository: str
    branch: str
    recipe: str
    keys: tuple[tuple[str, str], ...] = ()
    tools: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The layer's name: the same for the same key, and for no other.

        >>> LayerKey("a", "b", "c").name == LayerKey("a", "b", "c").name != LayerKey("a", "bc", "")
        True
        """
        told = [self.repository, self.branch, self.recipe, self.keys, self.tools]
        return hashlib.sha256(json.dumps([FORMAT, *told]).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class HeldLayer:
    """A layer that stays while it is held; `is_new` tells whether it was made for this caller."""

    tree: Path
    home: Path
    facts: Mapping[str, str]
    is_new: bool
    hold: Hold


@dataclass(frozen=True, slots=True)
class Layers:
    """Keeps layers on a shelf of their own."""

    shelf: Shelf

    async def hold(self, key: LayerKey, make: MakeLayer) -> HeldLayer:
        """Give the layer for a key, made now if there is none: once for all who ask meanwhile.

        Raises what `make` raises, and `DiskFull`; of a set-up that failed nothing is kept.
        """
        made: list[str] = []
        held = await self.shelf.hold(key.name, partial(_fill, key, make, made))
        return _as_layer(held, is_new=bool(made))

    def take(self, key: LayerKey) -> HeldLayer | None:
        """Give the layer for a key if it is there."""
        held = self.shelf.take(key.name)
        return None if held is None else _as_layer(held, is_new=False)

    def kept(self) -> list[Kept]:
        """Give all layers, the one that was not used for longest first."""
        return self.shelf.kept()

    def remove(self, name: str) -> bool:
        """Remove a layer, unless a task holds it; say whether it is gone."""
        return self.shelf.evict(name)


async def _fill(key: LayerKey, make: MakeLayer, made: list[str], folder: Path) -> Mapping[str, str]:
    tree, home = folder / "tree", folder / "home"
    with disk_errors(tree):
        for place in (tree, home):
            place.mkdir(mode=PRIVATE)
    facts = await make(tree, home)
    made.append(key.name)
    return {**facts, "repository": key.repository, "branch": key.branch}


def _as_layer(held: Hold, *, is_new: bool) -> HeldLayer:
    with disk_errors(held.folder):
        about = json.loads((held.folder / ABOUT).read_text())
    return HeldLayer(held.folder / "tree", held.folder / "home", about[FACTS], is_new, held)
