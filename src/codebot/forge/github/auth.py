"""Who Codebot is on GitHub: an App with short-lived, narrow tokens, or a person with one token."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import structlog

from codebot.domain.repository import Identity, Repository
from codebot.domain.secret import Secret
from codebot.errors import ForgeForbidden, ForgeNotFound, ForgeRefused, ForgeUnauthorized
from codebot.forge.github.cache import Cache
from codebot.forge.github.client import Credential, GitHubClient
from codebot.forge.github.gate import RateGate
from codebot.forge.github.models import (
    App,
    Installation,
    InstallationToken,
    User,
    identity_of,
)
from codebot.forge.github.models import Repository as FoundRepository
from codebot.telemetry.redaction import Redactor

log = structlog.get_logger(__name__)

JWT_BACKDATED = timedelta(seconds=60)
JWT_LIFETIME = timedelta(minutes=9)
"""GitHub takes at most 10 minutes, and clocks differ.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
"""

RENEWED_BEFORE = timedelta(minutes=5)
"""A token handed out must live through the fetch or push that it is for."""

INSTALLATION_KEPT = timedelta(minutes=10)


NOBODY = Identity("Codebot", "codebot@noreply.invalid")


class Access(StrEnum):
    """What a token is for."""

    READ = "read"
    WRITE = "write"


PERMISSIONS: Mapping[Access, Mapping[str, str]] = {
    Access.READ: {"metadata": "read", "contents": "read"},
    Access.WRITE: {"metadata": "read", "contents": "write", "pull_requests": "write"},
}
"""https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps ."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one installation token may do: an installation's repository, read or written.

    Without a repository the token may only look people up.
    """

    installation: int
    repository: Repository | None
    access: Access

    @property
    def request(self) -> dict[str, object]:
        """The body that asks for just this."""
        if self.repository is None:
            return {"permissions": {"metadata": "read"}}
        return {
            "repositories": [self.repository.name],
            "permissions": dict(PERMISSIONS[self.access]),
        }


class AppLogin:
    """Acts as a GitHub App. Its installation on a repository is looked up unless it is given."""

    def __init__(
        self,
        client: GitHubClient,
        *,
        app_id: str,
        private_key: Secret,
        installation_id: int | None,
        new_gate: Callable[[], RateGate],
        now: Callable[[], datetime],
        redactor: Redactor,
    ) -> None:
        # Whoever has no App does without: 50 ms of every start.
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._client = client
        self._app_id = app_id
        self._key: Any = load_pem_private_key(
            private_key.reveal().encode(),
            password=None,
            unsafe_skip_rsa_key_validation=True,  # the settings looked: 20 ms
        )
        self._installation_id = installation_id
        self._new_gate = new_gate
        self._now = now
        self._redactor = redactor
        self._gates: dict[int, RateGate] = {}
        self._issued: list[tuple[datetime, Secret]] = []
        self._installations = Cache(self._find_installation, now=now)
        self._tokens = Cache(self._issue, now=now)
        self._as_app = Credential(new_gate(), self._sign, lambda _: None)

    async def for_repository(self, repository: Repository, access: Access) -> Credential:
        """Give the credential that may do this there and nothing else.

        Raises `ForgeForbidden` already for reading when the installation could not push in the
        end: better now than after the agent's paid work.
        """
        installation = await self._installations.get(repository)
        _require_permissions(installation, repository)
        return self._credential(Scope(installation.id, repository, access))

    def forget(self, repository: Repository) -> None:
        """Drop what is cached for a repository: tokens, and where the App is installed."""
        self._tokens.forget(lambda scope: scope.repository == repository)
        self._installations.forget(lambda key: key == repository)

    def require_push(self, found: FoundRepository) -> None:
        """Do nothing: the installation's permissions said it, a reading token's role would lie."""

    async def user(self) -> User:
        """Give the App's bot user, who its commits and pull requests belong to."""
        slug = (await self.app()).slug
        return await self._user(slug, await self._looking())

    async def _looking(self) -> Credential:
        """Give a credential that may look people up."""
        credential = self._credential(Scope(await self._any_installation(), None, Access.READ))
        await credential.token()  # what refuses a token says nothing of the user
        return credential

    async def _user(self, slug: str, credential: Credential) -> User:
        return await self._client.get(f"users/{slug}%5Bbot%5D", User, credential)

    async def identity(self, host: str) -> Identity:
        """Give the author of the App's commits; raises what the App itself is refused.

        Where GitHub hides the bot's user, the older form of its address names it without number.
        """
        slug, credential = (await self.app()).slug, await self._looking()
        try:
            return identity_of(await self._user(slug, credential), host)
        except (ForgeForbidden, ForgeNotFound) as error:
            login = f"{slug}[bot]"
            log.warning("github.identity_hidden", login=login, problem=error.detail)
            return Identity(login, f"{login}@users.noreply.{host}", login)

    async def app(self) -> App:
        """Give the App itself."""
        return await self._client.get("app", App, self._as_app)

    async def installations(self) -> list[Installation]:
        """Give every installation that could be used: the configured one, or all."""
        if self._installation_id is not None:
            return [await self._installation(f"app/installations/{self._installation_id}")]
        pages = self._client.pages("app/installations", list[Installation], self._as_app)
        return [installation async for page in pages for installation in page]

    async def _any_installation(self) -> int:
        if self._installation_id is not None:
            return self._installation_id
        for installation in await self.installations():
            if installation.suspended_at is None:
                return installation.id
        raise ForgeUnauthorized(
            "The GitHub App is not installed anywhere.",
            hint="Install it on the account that owns the repositories.",
        )

    async def _find_installation(self, repository: Repository) -> tuple[Installation, datetime]:
        """Ask on which account's installation the repository is."""
        path = f"repos/{repository.full_name}/installation"
        if self._installation_id is not None:
            path = f"app/installations/{self._installation_id}"
        return await self._installation(path), self._now() + INSTALLATION_KEPT

    async def _installation(self, path: str) -> Installation:
        return await self._client.get(path, Installation, self._as_app)

    def _credential(self, scope: Scope) -> Credential:
        """Give the credential of a scope; all scopes of an installation share its rate limit."""
        gate = self._gates.setdefault(scope.installation, self._new_gate())
        return Credential(gate, partial(self._tokens.get, scope), partial(self._tokens.drop, scope))

    async def _issue(self, scope: Scope) -> tuple[Secret, datetime]:
        """Have a token made. A token too many harms nobody, so this may be repeated."""
        path = f"app/installations/{scope.installation}/access_tokens"
        try:
            issued = await self._client.post_repeatable(
                path, InstallationToken, self._as_app, scope.request
            )
        except ForgeRefused as error:  # 422: outside of what the installation was given
            raise ForgeForbidden(
                f"The GitHub App may not work on {_name(scope.repository)}: {error.detail}",
                hint="Add the repository, by its name of today, to the App's installation.",
            ) from error
        token = Secret(issued.token)
        self._mask(token, issued.expires_at)
        return token, issued.expires_at - RENEWED_BEFORE

    def _mask(self, token: Secret, expires_at: datetime) -> None:
        """Have a token masked in every text from now on, until it is worthless."""
        now = self._now()
        for expired in [entry for entry in self._issued if entry[0] <= now]:
            self._issued.remove(expired)
            self._redactor.remove(expired[1])
        self._issued.append((expires_at, token))
        self._redactor.add(token)

    async def _sign(self) -> Secret:
        """Sign what proves to GitHub that we are the App; good for minutes."""
        import jwt

        now = self._now()
        claims = {
            "iss": self._app_id,
            "iat": int((now - JWT_BACKDATED).timestamp()),
            "exp": int((now + JWT_LIFETIME).timestamp()),
        }
        return Secret(jwt.encode(claims, self._key, algorithm="RS256"))


class PersonalLogin:
    """Acts as a person, with the one token they made: for one user, or to try Codebot out."""

    def __init__(self, client: GitHubClient, *, token: Secret, gate: RateGate) -> None:
        self._client = client
        self._credential = Credential(gate, _always(token), lambda _: None)

    async def for_repository(self, repository: Repository, access: Access) -> Credential:
        """Give the one credential there is; the token's own settings bound what it may do."""
        del repository, access
        return self._credential

    def forget(self, repository: Repository) -> None:
        """Do nothing: there is no other token."""

    def require_push(self, found: FoundRepository) -> None:
        """Raise `ForgeForbidden` when the person may not push to the repository."""
        if found.permissions is not None and not found.permissions.push:
            raise ForgeForbidden(
                f"The owner of GITHUB_TOKEN may not push to {found.full_name}.",
                hint="Ask for write access to the repository, or use a GitHub App.",
            )

    async def user(self) -> User:
        """Give the token's owner."""
        return await self._client.get("user", User, self._credential)

    async def identity(self, host: str) -> Identity:
        """Give the author of the owner's commits; raises `ForgeUnauthorized` for a bad token.

        The tokens of GitHub Actions and of Apps may push and open pull requests, but not ask who
        they are. Their commits are nobody's: an address at GitHub could be a stranger's.
        """
        try:
            return identity_of(await self.user(), host)
        except (ForgeForbidden, ForgeNotFound) as error:
            log.warning("github.identity_unknown", problem=error.detail)
            return NOBODY


Login = AppLogin | PersonalLogin


def missing_permissions(granted: Mapping[str, str]) -> list[str]:
    """Name what Codebot's work needs and an App was not given.

    >>> missing_permissions({"contents": "write", "metadata": "read"})
    ['pull_requests: write']
    """
    return [
        f"{name}: {level}"
        for name, level in PERMISSIONS[Access.WRITE].items()
        if granted.get(name) not in {level, "write", "admin"}
    ]


def _require_permissions(installation: Installation, repository: Repository) -> None:
    if installation.suspended_at is not None:
        raise ForgeUnauthorized(
            f"The GitHub App's installation for {repository.owner} is suspended.",
            hint="Unsuspend it in the settings of that account.",
        )
    if missing := missing_permissions(installation.permissions):
        raise ForgeForbidden(
            f"The GitHub App lacks permissions for {repository.owner}: {', '.join(missing)}.",
            hint="Grant them in the App's settings, and accept them for the installation.",
        )


def _name(repository: Repository | None) -> str:
    return "the account" if repository is None else repository.full_name


def _always(token: Secret) -> Callable[[], Awaitable[Secret]]:
    async def give() -> Secret:
        return token

    return give
