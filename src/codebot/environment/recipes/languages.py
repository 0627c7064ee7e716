"""Languages whose own tool does it all: what it fetches before the tests run."""

from collections.abc import Iterator
from shlex import quote

from codebot.domain.tree import DOTNET_PROJECTS
from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.guess import Family, Guess, guess

GRADLE_FILES = (
    "build.gradle.kts",
    "build.gradle",
    "settings.gradle.kts",
    "settings.gradle",
    "gradle.properties",
    "gradle/wrapper/gradle-wrapper.properties",
    "gradle/libs.versions.toml",
)


def go(clues: Clues) -> Iterator[Guess]:
    """Guess of `go.mod`; what is vendored needs no download."""
    if clues.has("go.mod"):
        vendored = clues.has("vendor/modules.txt")
        yield guess(
            Family.GO,
            "go.mod",
            "" if vendored else "go mod download",
            env={"GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local"},
            keys=clues.those("go.mod", "go.sum"),
            programs=("go",),
            is_locked=True,
        )


def rust(clues: Clues) -> Iterator[Guess]:
    """Guess of `Cargo.lock`, or of `Cargo.toml` alone."""
    locked = clues.has("Cargo.lock")
    if locked or clues.has("Cargo.toml"):
        yield guess(
            Family.RUST,
            "Cargo.lock" if locked else "Cargo.toml",
            "cargo fetch --locked" if locked else "cargo fetch",
            keys=clues.those("Cargo.lock", "Cargo.toml", "rust-toolchain.toml"),
            programs=("cargo",),
            is_locked=locked,
        )


def maven(clues: Clues) -> Iterator[Guess]:
    """Guess of `pom.xml`: what compiling the tests needs is fetched by compiling them."""
    if clues.has("pom.xml"):
        program = "./mvnw" if clues.has("mvnw") else "mvn"
        yield guess(
            Family.JVM,
            "pom.xml",
            f"{program} -B -ntp -q test-compile",
            keys=clues.those("pom.xml", ".mvn/wrapper/maven-wrapper.properties"),
            builds=True,
            programs=("java",) if clues.has("mvnw") else ("mvn", "java"),
        )


def gradle(clues: Clues) -> Iterator[Guess]:
    """Guess of `build.gradle`; no daemon, which would end with the box."""
    found = clues.those(*GRADLE_FILES)
    if any(path.startswith("build.gradle") for path in found):
        program = "./gradlew" if clues.has("gradlew") else "gradle"
        yield guess(
            Family.JVM,
            found[0],
            f"{program} --no-daemon testClasses",
            keys=found,
            builds=True,
            programs=("java",) if clues.has("gradlew") else ("gradle", "java"),
        )


def ruby(clues: Clues) -> Iterator[Guess]:
    """Guess of `Gemfile.lock`, or of a `Gemfile` alone."""
    if not clues.has("Gemfile"):
        return
    locked = clues.has("Gemfile.lock")
    yield guess(
        Family.RUBY,
        "Gemfile.lock" if locked else "Gemfile",
        "bundle install",
        env={"BUNDLE_PATH": "vendor/bundle"},
        pinning={"BUNDLE_FROZEN": "true"} if locked else {},
        keys=clues.those("Gemfile.lock", "Gemfile"),
        programs=("bundle",),
        is_locked=locked,
    )


def php(clues: Clues) -> Iterator[Guess]:
    """Guess of `composer.lock`, or of `composer.json` alone."""
    if clues.has("composer.json"):
        locked = clues.has("composer.lock")
        yield guess(
            Family.PHP,
            "composer.lock" if locked else "composer.json",
            "composer install --no-interaction --no-progress",
            bin_=("vendor/bin",),
            keys=clues.those("composer.lock", "composer.json"),
            programs=("composer", "php"),
            is_locked=locked,
        )


def elixir(clues: Clues) -> Iterator[Guess]:
    """Guess of `mix.lock` or `mix.exs`."""
    if clues.has("mix.exs"):
        yield guess(
            Family.ELIXIR,
            "mix.lock" if clues.has("mix.lock") else "mix.exs",
            "mix local.hex --force\nmix local.rebar --force\nmix deps.get",
            env={"MIX_ENV": "test"},
            keys=clues.those("mix.lock", "mix.exs"),
            programs=("mix",),
            is_locked=clues.has("mix.lock"),
        )


def dotnet(clues: Clues) -> Iterator[Guess]:
    """Guess of a solution or a project of .NET, of the nearest one."""
    if not clues.tree.own(*DOTNET_PROJECTS):
        return
    found = clues.tree.own(".sln", ".slnx") or clues.tree.own(".csproj")
    for source in found[:1]:
        yield guess(
            Family.DOTNET,
            source,
            f"dotnet restore {quote(source)}",
            env={"DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1"},
            keys=(source,),
            programs=("dotnet",),
        )
