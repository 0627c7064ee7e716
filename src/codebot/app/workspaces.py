"""The workspaces of tasks, wired, and the git that serves them."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from codebot.app.forges import large_file_transfers, repository_rules
from codebot.app.ground import Ground
from codebot.app.storage import node_name
from codebot.app.way_out import authority_file
from codebot.domain.ports import Sandbox
from codebot.gateway.registries.authority import authority_pieces
from codebot.git.git import Git
from codebot.intake.submodule_url import find_source
from codebot.publish import wording
from codebot.settings import Settings
from codebot.telemetry.redaction import Redactor
from codebot.workspace.limits import Limits
from codebot.workspace.submodules import FindSource
from codebot.workspace.workspaces import Workspaces


def make_git(settings: Settings) -> Git:
    """Give the one way to run git on the host."""
    return Git(
        home=settings.data_dir / "git-home",
        certificate_file=settings.certificate_file,
        proxies=settings.proxies,
    )


def make_workspaces(
    settings: Settings, git: Git, sandbox: Sandbox, redactor: Redactor, ground: Ground
) -> Workspaces:
    """Give what makes, reads and removes the folders of tasks."""
    return Workspaces(
        git,
        sandbox,
        mirrors=settings.data_dir / "mirrors",
        work_dir=settings.work_dir,
        limits=Limits(protected_paths=settings.protected_paths, allowed_filters=settings.filters),
        holds_secret=redactor.is_betrayed_by,
        authority=partial(authority_pieces, authority_file(settings)),
        tame=partial(wording.own_message, redact=redactor),
        find_source=_find_source(settings),
        transfers=large_file_transfers(settings),
        means=ground.chosen.means,
        templates=ground.templates,
        node="" if isinstance(settings.database, Path) else node_name(settings.work_dir),
    )


def _find_source(settings: Settings) -> FindSource | None:
    """Give what says which repositories submodules are, unless none are wanted."""
    if settings.submodules == "off":
        return None
    rules = repository_rules(settings)
    if settings.submodule_repos is not None:
        rules = replace(rules, local_roots=settings.submodule_repos)
    return partial(find_source, rules=rules)
