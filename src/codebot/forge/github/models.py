"""The fields of GitHub's answers that are used, and no others.

Reading only these is what survives GitHub's additions and its description's mistakes.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from codebot.domain.outcome import PullRequest
from codebot.domain.repository import Identity


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class App(_Answer):
    """https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app ."""

    id: int
    slug: str
    permissions: dict[str, str]


class Account(_Answer):
    """Who an App is installed for; an enterprise has no login."""

    login: str = "an enterprise"


class Installation(_Answer):
    """https://docs.github.com/en/rest/apps/apps#get-an-installation-for-the-authenticated-app ."""

    id: int
    account: Account | None
    permissions: dict[str, str]
    suspended_at: datetime | None


class InstallationToken(_Answer):
    """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app .

    The token is kept out of this class's repr.
    """

    token: str = Field(repr=False)
    expires_at: datetime


class User(_Answer):
    """https://docs.github.com/en/rest/users/users#get-a-user ."""

    id: int
    login: str
    name: str | None = None


def identity_of(user: User, host: str) -> Identity:
    """Give the author of commits that GitHub shows as this user's.

    https://docs.github.com/en/account-and-profile/reference/email-addresses-reference
    """
    email = f"{user.id}+{user.login}@users.noreply.{host}"
    return Identity(user.name or user.login, email, user.login)


class Role(_Answer):
    """What the caller may do in a repository."""

    push: bool


class Repository(_Answer):
    """https://docs.github.com/en/rest/repos/repos#get-a-repository .

    `full_name` is the name of today: a renamed repository answers to its old one as well.
    """

    full_name: str = Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9._-]+$")
    default_branch: str
    archived: bool
    disabled: bool = False
    permissions: Role | None = None


class Head(_Answer):
    """The branch that a pull request comes from."""

    ref: str


class Pull(_Answer):
    """https://docs.github.com/en/rest/pulls/pulls#list-pull-requests ."""

    number: int
    html_url: str
    state: str
    merged_at: datetime | None
    draft: bool = False
    head: Head

    @property
    def pull_request(self) -> PullRequest:
        """The same in the product's own words: GitHub calls a merged one closed."""
        state = "merged" if self.merged_at else self.state
        return PullRequest(self.number, self.html_url, state, self.draft)
