"""What the trees of tasks stand on: by which means they come to be here, and their templates."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from codebot.domain.ports import Finding, Sandbox
from codebot.git.git import Git
from codebot.sandbox.uppers import reap_scratch
from codebot.settings import Settings
from codebot.workspace.layers import Layers
from codebot.workspace.means import Chosen, Means, find_means
from codebot.workspace.shelf import Shelf, remove_left_behind
from codebot.workspace.template import Templates

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """The means in force, and what is kept for them."""

    chosen: Chosen
    templates: Templates
    layers: Layers

    @property
    def lays_below(self) -> bool:
        """Whether a layer can be laid below a workspace."""
        return self.chosen.means is Means.OVERLAY


async def open_ground(settings: Settings, git: Git, sandbox: Sandbox) -> Ground:
    """Remove what a crash left half made, and try which means work here."""
    shelf, environments = (
        Shelf(settings.data_dir / name) for name in ("templates", "environments")
    )
    removed = shelf.reap() + environments.reap() + remove_left_behind(settings.work_dir)
    removed += reap_scratch(settings.work_dir)
    if removed:
        log.info("cache.recovered", removed=removed)
    chosen = await find_means(
        sandbox, templates=shelf.folder, work_dir=settings.work_dir, overlays=settings.overlay
    )
    log.info("workspaces.means", means=str(chosen.means), why=chosen.finding().detail)
    return Ground(chosen, Templates(git, shelf), Layers(environments))


async def try_ground(settings: Settings, sandbox: Sandbox) -> Finding:
    """Say which means would be in force, and leave nothing behind: folders need not be there."""
    with ExitStack() as stack:
        there = (_existing(settings.data_dir), _existing(settings.work_dir))
        try:
            templates, work_dir = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place))) for place in there
            )
        except OSError as error:
            return Finding("workspaces", ok=False, detail=f"{error}", required=False)
        chosen = await find_means(
            sandbox, templates=templates, work_dir=work_dir, overlays=settings.overlay
        )
        return chosen.finding()


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))
