"""How a task's tree stands on a template: laid above it, or a copy that shares its blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codebot.workspace.folders import TaskFolders, disk_errors
from codebot.workspace.means import Means, copy_files
from codebot.workspace.shelf import Hold
from codebot.workspace.template import Templates, copy_repository, has_large_files, has_submodules


@dataclass(frozen=True, slots=True)
class Standing:
    """The tree of one task; `on_hold` is told of what the task holds from now on.

    `fills_large` says that the contents of Git LFS will be put where their pointers are.
    """

    templates: Templates
    means: Means
    folders: TaskFolders
    on_hold: Callable[[Hold], None]
    fills_large: bool = False

    def begin(self) -> None:
        """Make the tree's own `.git`, for what only this task has of its own in there."""
        with disk_errors(self.folders.tree):
            (self.folders.tree / ".git").mkdir()

    async def make_ready(self, mirror: Path, branch: str, commit: str) -> None:
        """Have the template there that will most likely be needed."""
        (await self.templates.hold(mirror, branch, commit)).release()

    async def stand(self, mirror: Path, branch: str, commit: str) -> tuple[Path, ...]:
        """Have the tree at a commit; give what lies below it.

        Where there are submodules or large files to be put into it, it is a copy that stands alone.
        """
        template = await self.templates.hold(mirror, branch, commit)
        tree = TaskFolders(template.folder).tree
        if self.means is Means.OVERLAY and not self._gets_more(template):
            self.on_hold(template)
            copy_repository(template.folder, self.folders)
            return (tree,)
        try:
            copy_repository(template.folder, self.folders)
            with disk_errors(self.folders.tree):
                await copy_files(tree, self.folders.tree)
        finally:
            template.release()
        return ()

    def _gets_more(self, template: Hold) -> bool:
        return has_submodules(template) or (self.fills_large and has_large_files(template))
