"""What sets repositories up and tests changes, made from the settings and wired."""

from collections.abc import Callable

from codebot.app.ground import Ground
from codebot.domain.ports import Sandbox
from codebot.environment.operators_table import read_environments
from codebot.git.git import Git
from codebot.pipeline.kept_layers import KeptLayers
from codebot.pipeline.set_up import SetUps
from codebot.pipeline.testing import Testing
from codebot.settings import Settings
from codebot.verify.base_runs import BaseRuns
from codebot.workspace.places import Places
from codebot.workspace.workspaces import Workspaces


def make_testing(
    settings: Settings,
    git: Git,
    sandbox: Sandbox,
    ground: Ground,
    workspaces: Workspaces,
    redact: Callable[[str], str],
) -> Testing:
    """Give what runs the tests, with its `set_ups`.

    Raises `ConfigError` for a table of environments that cannot be used.
    """
    places = Places(git, sandbox)
    return Testing(
        sandbox=sandbox,
        places=places,
        set_ups=SetUps(
            sandbox,
            places,
            settings.setup_timeout,
            redact,
            KeptLayers(ground.layers, places, ground.lays_below, workspaces.holds),
            environments=read_environments(settings.environments),
            granted=frozenset(settings.egress),
            path=settings.path,
        ),
        base_runs=BaseRuns(settings.data_dir / "base-runs"),
        timeout=settings.test_timeout,
        redact=redact,
    )
