"""The files of one commit, as far as rules about a repository need to see them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TELLING = re.compile(
    r"""
    (?: .*/ )? (?:
        pyproject\.toml | setup\.(?:cfg|py) | tox\.ini | \.?pytest\.ini | noxfile\.py
      | package\.json | pnpm-workspace\.yaml | yarn\.lock | pnpm-lock\.yaml
      | GNUmakefile | [Mm]akefile | composer\.json | Gemfile | \.python-version
    )
    | \.github/workflows/copilot-setup-steps\.ya?ml
    | \.cursor/environment\.json
    | \.openhands/setup\.sh
    | \.devcontainer/devcontainer\.json
    """,
    re.VERBOSE,
)

ASIDE = {
    *("contrib", "deps", "doc", "docs", "example", "examples", "extern", "external"),
    *("node_modules", "sample", "samples", "third-party", "third_party", "thirdparty", "vendor"),
}
"""Folders whose projects are not what a repository is about."""

DOTNET_PROJECTS = (".csproj", ".fsproj", ".vbproj")


@dataclass(frozen=True, slots=True)
class Tree:
    """One commit's files, without a working tree and without running anything.

    `paths` are all its files, with `/` between folders (a symbolic link counts as one). `contents`
    holds those in the top folder that are regular files of a size that a person may have written,
    and of those below it the ones that tell how something is set up or tested (`is_telling`).
    """

    paths: frozenset[str] = frozenset()
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def below(self, folder: str) -> "Tree":
        """Give what lies below a folder ("" for all), with paths as they are seen from there.

        >>> sorted(Tree(frozenset({"api/setup.py", "apis", "README"})).below("api").paths)
        ['setup.py']
        """
        if not folder:
            return self
        start = f"{folder}/"
        return Tree(
            frozenset(path.removeprefix(start) for path in self.paths if path.startswith(start)),
            {
                path.removeprefix(start): content
                for path, content in self.contents.items()
                if path.startswith(start)
            },
        )

    def own(self, *endings: str) -> list[str]:
        """Give the repository's own files with one of these endings, the nearest first.

        >>> Tree(frozenset({"src/b.sln", "a.sln", "vendor/c.sln"})).own(".sln")
        ['a.sln', 'src/b.sln']
        """
        found = (path for path in self.paths if path.endswith(endings))
        own = (path for path in found if ASIDE.isdisjoint(path.split("/")))
        return sorted(own, key=lambda path: (path.count("/"), path))


def is_telling(path: str) -> bool:
    """Say whether a file below the top folder may tell how something is set up or tested.

    >>> is_telling("api/pyproject.toml"), is_telling(".openhands/setup.sh"), is_telling("a/b.py")
    (True, True, False)
    """
    return _TELLING.fullmatch(path) is not None
