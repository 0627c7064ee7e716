"""What every guess about an ecosystem has in common: a recipe, and how sure we are of it."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from shlex import quote

from codebot.domain.environment import Recipe, RecipeOrigin


class Family(StrEnum):
    """Whose tools install and run it."""

    PYTHON = "Python"
    NODE = "Node"
    GO = "Go"
    RUST = "Rust"
    JVM = "JVM"
    RUBY = "Ruby"
    PHP = "PHP"
    ELIXIR = "Elixir"
    DOTNET = ".NET"
    NATIVE = "native"


_PROGRAMS = {
    Family.PYTHON: r"py\.?test|python3?|uv|uvx|tox|nox|poetry|pdm|pipenv|hatch|unittest",
    Family.NODE: r"npm|npx|pnpm|yarn|bun|bunx|node|corepack|jest|vitest|mocha",
    Family.GO: r"go",
    Family.RUST: r"cargo",
    Family.JVM: r"mvn|mvnw|gradle|gradlew|java",
    Family.RUBY: r"bundle|rake|rspec|ruby",
    Family.PHP: r"composer|php|phpunit|vendor/bin/phpunit",
    Family.ELIXIR: r"mix",
    Family.DOTNET: r"dotnet",
    Family.NATIVE: r"ctest|cmake|meson|ninja",
}
_BEGINNING = r"(?:^|[;&|(]|\b(?:exec|env|time|xvfb-run)\s)\s*(?:\w+=\S*\s+)*(?:\./)?"


@dataclass(frozen=True, slots=True)
class Guess:
    """A recipe that the files of an ecosystem tell; `is_locked` where they name every version."""

    family: Family
    recipe: Recipe
    is_locked: bool = False


def guess(
    family: Family,
    source: str,
    setup: str,
    *,
    usual_test: str = "",
    runner: str | None = None,
    env: dict[str, str] | None = None,
    pinning: dict[str, str] | None = None,
    bin_: tuple[str, ...] = (),
    keys: tuple[str, ...] = (),
    programs: tuple[str, ...] = (),
    builds: bool = False,
    is_locked: bool = False,
) -> Guess:
    """Give a guess of a recipe."""
    recipe = Recipe(
        RecipeOrigin.GUESSED,
        source,
        setup,
        usual_test=usual_test,
        runner=runner,
        env=env or {},
        pinning=pinning or {},
        bin=bin_,
        keys=keys,
        programs=programs,
        builds=builds,
    )
    return Guess(family, recipe, is_locked)


def families_of(command: str) -> frozenset[Family]:
    """Say whose programs a command line begins with.

    >>> families_of("cd api && CI=1 ./gradlew test")
    frozenset({<Family.JVM: 'JVM'>})
    >>> families_of("make test")
    frozenset()
    """
    return frozenset(
        family
        for family, programs in _PROGRAMS.items()
        if re.search(rf"{_BEGINNING}(?:{programs})(?![\w.-])", command)
    )


def beside(first: Guess, others: list[Guess]) -> Recipe:
    """Give the first guess's recipe, with others set up after it as far as that works."""
    recipe = first.recipe
    script = recipe.setup
    for other in others:
        also = other.recipe
        wanted = " && ".join(f"command -v {quote(name)} >/dev/null" for name in also.programs)
        script += (
            f"\n{{ {wanted or 'true'} && sh -ec {quote(also.setup)}; }} ||"
            f" echo {quote(f'Not set up: {also.source}. The tests may do without.')}\n"
        )
        recipe = replace(
            recipe,
            env={**also.env, **recipe.env},
            pinning={**also.pinning, **recipe.pinning},
            bin=tuple(dict.fromkeys((*recipe.bin, *also.bin))),
            keys=tuple(dict.fromkeys((*recipe.keys, *also.keys))),
            builds=recipe.builds or also.builds,
        )
    return replace(recipe, setup=script)
