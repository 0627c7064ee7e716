"""What a repository needs before its tests can run, who said so, and what became of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from codebot.domain.box import BoxPaths
from codebot.domain.outcome import Checkout


class RecipeOrigin(StrEnum):
    """Who says how a repository is set up, the most trusted first."""

    TASK = "task"
    OPERATOR = "operator"
    REPOSITORY = "repository"
    FOREIGN = "foreign"
    GUESSED = "guessed"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a repository is set up and tested: commands, and the files that decide about them.

    `source` names where it comes from, as people know it ("uv.lock", ".codebot.toml"). `setup`
    and `update` are shell scripts, "" for nothing to do; `update` brings a kept environment to a
    newer commit. `test` is the command that is said to run the tests, "" where nobody says so, and
    `test_source` who says it; `usual_test` is what runs tests of this kind for want of a better
    clue, and `runner` the words before a program of the environment ("uv run"), None where any lock
    file may say.

    `path` is the folder of the repository that all of it is about, "" for the top. `env` holds
    further variables, `pinning` those that keep lock files as they are: they are not for an agent,
    whose task may be to add a dependency. `bin` are folders that come first on PATH (`~/` is the
    HOME of the box, anything else is seen from the workspace). `keys` are the paths whose contents
    decide whether a kept environment still fits; `programs` must be on PATH before there is any use
    in beginning.
    `builds` says that it leaves what was built from the repository's own files: that fits no other
    commit. `notes` say what of it was not understood or is not granted, and `egress` which hosts
    the recipe asks for.
    """

    origin: RecipeOrigin
    source: str
    setup: str
    update: str = ""
    test: str = ""
    test_source: str = ""
    usual_test: str = ""
    runner: str | None = None
    path: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    pinning: Mapping[str, str] = field(default_factory=dict)
    bin: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    builds: bool = False
    notes: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()

    def search_path(self, paths: BoxPaths) -> tuple[str, ...]:
        """Give the folders of a box that come first on PATH.

        >>> recipe = Recipe(RecipeOrigin.GUESSED, "x", "", path="api", bin=("~/venv/bin", "bin"))
        >>> recipe.search_path(BoxPaths(Path("/workspace"), Path("/home/agent")))
        ('/home/agent/venv/bin', '/workspace/api/bin')
        """
        top = paths.workspace / self.path
        return tuple(
            str(paths.home / entry[2:] if entry.startswith("~/") else top / entry)
            for entry in self.bin
        )

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables for set-up and tests: what people wrote goes before what pins."""
        return {**self.pinning, **self.env}

    def telling(self, notes: Iterable[str]) -> "Recipe":
        """Give the recipe with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def updating(self) -> "Recipe":
        """The recipe that brings what this one set up to another commit."""
        return replace(self, setup=self.update, update="")

    @property
    def is_written(self) -> bool:
        """Whether a person wrote it for this service: then its failure is the task's."""
        return self.origin in {RecipeOrigin.TASK, RecipeOrigin.OPERATOR, RecipeOrigin.REPOSITORY}


@dataclass(frozen=True, slots=True)
class Layer:
    """What a set-up left behind: in the tree beside the commit's files, and in HOME.

    `leftovers` are the paths in the tree that the repository does not ignore; they are never part
    of a change. `below` tells whether it is laid below a workspace, instead of copied into it.
    """

    tree: Path
    home: Path
    leftovers: tuple[str, ...] = ()
    below: bool = False

    def under(self, checkout: Checkout) -> Checkout:
        """Give a checkout as a box sees it with this layer."""
        if not self.below:
            return checkout
        return replace(
            checkout,
            layers=(self.tree, *checkout.layers),
            home_layers=(self.home, *checkout.home_layers),
        )


GIVEN = "task"
PART = "since all of it fails on the base branch, and nothing tells by which tests"


@dataclass(frozen=True, slots=True)
class TestCommand:
    """A shell command, and how we came by it: "task", or "detected from Makefile".

    `part` is what of it tests, where it checks other things as well, or the tests of the language
    that the repository is about; "" where nothing is known.
    """

    __test__: ClassVar[bool] = False  # not a test class, whatever pytest thinks of its name

    command: str
    source: str
    part: str = ""

    @property
    def alone(self) -> "TestCommand | None":
        """The part as a command of its own; None where none is known."""
        if not self.part:
            return None
        return TestCommand(self.part, f"a part of {self.command}, {PART}")

    @property
    def is_detected(self) -> bool:
        """Whether this is our guess, not somebody's word."""
        return self.source != GIVEN


class SetUpState(StrEnum):
    """What became of setting up."""

    READY = "ready"
    FAILED = "failed"
    NOTHING_TO_DO = "nothing_to_do"


@dataclass(frozen=True, slots=True)
class Environment:
    """Step `set_up`: what the repository's commands find when they run.

    `recipe` and `layer` are None where nothing had to be set up, or nothing could be; `reason` then
    says why in one sentence. Of what is ready it says why the tests may not run all the same.
    `output` is the tail of what the set-up printed, `failures` what became of recipes that were
    tried and failed, and `failed_output` what these printed last. `reused` says that a kept layer
    served. `test` runs the tests, as far as the task and the files of the base commit say.
    """

    state: SetUpState
    recipe: Recipe | None = None
    layer: Layer | None = None
    reason: str = ""
    output: str = ""
    duration: timedelta = timedelta(0)
    reused: bool = False
    failures: tuple[str, ...] = ()
    failed_output: str = ""
    test: TestCommand | None = None

    def under(self, checkout: Checkout) -> Checkout:
        """Give the workspace of an agent as its boxes see it: with the layer below, if any."""
        return checkout if self.layer is None else self.layer.under(checkout)

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that the recipe adds for tests."""
        return {} if self.recipe is None else self.recipe.variables

    @property
    def variables_of_agents(self) -> Mapping[str, str]:
        """Those that it adds for an agent."""
        return {} if self.recipe is None else self.recipe.env

    @property
    def path(self) -> str:
        """The folder of the repository that commands run in, "" for the top."""
        return "" if self.recipe is None else self.recipe.path

    def search_path(self, paths: BoxPaths) -> tuple[str, ...]:
        """Give the folders of a box that come first on PATH."""
        return () if self.recipe is None else self.recipe.search_path(paths)


NO_ENVIRONMENT = Environment(SetUpState.NOTHING_TO_DO)


@dataclass(frozen=True, slots=True)
class BaseTests:
    """How the tests of a base commit ended; `failing` names those that failed, where known."""

    passed: bool
    failing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where an agent works, in which environment, and how the tests stand before it begins.

    `base` is None where that is not known yet: the base's tests run while the agent works.
    """

    checkout: Checkout
    environment: Environment
    base: BaseTests | None = None
