"""What the fake GitHub remembers."""

import itertools
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

WORK_PERMISSIONS = {"metadata": "read", "contents": "write", "pull_requests": "write"}
LEVELS = ("read", "write", "admin")


@dataclass
class Pull:
    """A pull request."""

    number: int
    title: str
    body: str
    head: str
    base: str
    draft: bool
    state: str = "open"
    merged: bool = False


@dataclass
class Repository:
    """A repository; its branches are those of the bare repository `folder`, where there is one.

    Without `filters` its pull requests are all listed, whatever was asked for.
    """

    id: int
    owner: str
    name: str
    default_branch: str = "main"
    folder: Path | None = None
    archived: bool = False
    drafts: bool = True
    draft_refusal: tuple[Any, ...] = ("Draft pull requests are not supported in this repository.",)
    pushable: bool = True
    filters: bool = True
    former_names: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 39 + "1"})
    pulls: list[Pull] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def commit_of(self, branch: str) -> str | None:
        """Give the commit at the tip of a branch, or None."""
        if self.folder is None:
            return self.branches.get(branch)
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout.strip() or None


@dataclass
class Installation:
    """An App on an account: on all of its repositories, or on those named."""

    id: int
    account: str
    permissions: dict[str, str] = field(default_factory=lambda: dict(WORK_PERMISSIONS))
    repositories: set[str] | None = None
    suspended: bool = False

    def covers(self, repository: Repository) -> bool:
        """Say whether the App was installed on this repository."""
        named = self.repositories
        return repository.owner == self.account and (named is None or repository.name in named)


@dataclass
class Token:
    """An installation's or a person's token. `repositories` None means all of them."""

    value: str
    login: str
    permissions: dict[str, str]
    expires_at: datetime
    repositories: set[int] | None
    account: str | None = None

    def may(self, permission: str, level: str, repository: Repository | None) -> bool:
        """Say whether this token is good for that."""
        granted = self.permissions.get(permission)
        if granted is None or LEVELS.index(granted) < LEVELS.index(level):
            return False
        if repository is None:
            return True
        if self.account not in {None, repository.owner}:
            return False
        return self.repositories is None or repository.id in self.repositories


@dataclass
class World:
    """Everything there is. `permissions` are what the App itself asks for."""

    app_id: int = 4711
    slug: str = "codebot"
    permissions: dict[str, str] = field(default_factory=lambda: dict(WORK_PERMISSIONS))
    users: dict[str, int] = field(default_factory=dict)
    repositories: list[Repository] = field(default_factory=list)
    installations: list[Installation] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(101))

    def repository(self, full_name: str) -> Repository | None:
        """Find a repository by the name it has today."""
        wanted = full_name.lower()
        return next((r for r in self.repositories if r.full_name.lower() == wanted), None)

    def renamed(self, full_name: str) -> Repository | None:
        """Find a repository by a name it had."""
        return next((r for r in self.repositories if full_name in r.former_names), None)

    def issue(
        self, installation: Installation, body: dict[str, object], now: datetime
    ) -> Token | str:
        """Make a token as asked for, or say why not."""
        permissions = body.get("permissions", installation.permissions)
        assert isinstance(permissions, dict)
        for name, level in permissions.items():
            granted = installation.permissions.get(name)
            if granted is None or LEVELS.index(granted) < LEVELS.index(level):
                return "The permissions requested are not granted to this installation."
        names = body.get("repositories")
        repositories = None
        if names is not None:
            assert isinstance(names, list)
            found = [r for r in self.repositories if r.name in names and installation.covers(r)]
            if len(found) != len(names):
                return (
                    "There is at least one repository that does not exist or is not accessible"
                    " to the parent installation."
                )
            repositories = {repository.id for repository in found}
        number = next(self.numbers)
        token = Token(
            value=f"ghs_{number:036d}",
            login=f"{self.slug}[bot]",
            permissions=dict(permissions),
            expires_at=now + timedelta(hours=1),
            repositories=repositories,
            account=installation.account,
        )
        self.tokens[token.value] = token
        return token
