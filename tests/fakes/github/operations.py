"""What each operation of the API does to the world, and answers: the fields tests care about."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jwt

from fakes.github.faults import DOCS
from fakes.github.world import Installation, Pull, Repository, Token, World

Given = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request, as the operations read it."""

    world: World
    now: datetime
    web_url: str
    api_url: str
    public_key: Any
    authorization: str
    method: str
    url_path: str
    query_string: str
    path: dict[str, str]
    query: dict[str, str]
    body: Given


@dataclass(eq=False)
class Answer(Exception):
    """What is answered, raised where that is early; the description fills in the rest."""

    status: int
    given: Any
    headers: dict[str, str] = field(default_factory=dict)


def failure(status: int, message: str, *errors: Given) -> Answer:
    """Give an answer that says no, in GitHub's form."""
    given: Given = {"message": message, "documentation_url": DOCS}
    return Answer(status, given | {"errors": list(errors)} if errors else given)


NOT_FOUND = (404, "Not Found")
BAD_CREDENTIALS = (401, "Bad credentials")
NOT_ACCESSIBLE = (403, "Resource not accessible by integration")


def get_app(asked: Asked) -> Answer:
    _require_app(asked)
    world = asked.world
    given = {"id": world.app_id, "slug": world.slug, "permissions": world.permissions}
    return Answer(200, given)


def list_installations(asked: Asked) -> Answer:
    _require_app(asked)
    every = [_installation(asked.world, found) for found in asked.world.installations]
    return _paged(asked, every)


def get_installation(asked: Asked) -> Answer:
    _require_app(asked)
    return Answer(200, _installation(asked.world, _find_installation(asked)))


def get_repository_installation(asked: Asked) -> Answer:
    _require_app(asked)
    repository = _find_repository(asked)
    for installation in asked.world.installations:
        if installation.covers(repository):
            return Answer(200, _installation(asked.world, installation))
    raise failure(*NOT_FOUND)


def create_token(asked: Asked) -> Answer:
    _require_app(asked)
    installation = _find_installation(asked)
    if installation.suspended:
        raise failure(403, "This installation has been suspended")
    issued = asked.world.issue(installation, asked.body, asked.now)
    if isinstance(issued, str):
        raise failure(422, issued)
    given = {
        "token": issued.value,
        "expires_at": f"{issued.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "permissions": issued.permissions,
    }
    return Answer(201, given)


def get_user(asked: Asked) -> Answer:
    token = _require_token(asked)
    if token.account is not None:
        raise failure(*NOT_ACCESSIBLE)
    return Answer(200, _user(asked.world, token.login) | {"user_view_type": "private"})


def get_public_user(asked: Asked) -> Answer:
    _require_token(asked)
    login = asked.path["username"]
    if login not in asked.world.users:
        raise failure(*NOT_FOUND)
    return Answer(200, _user(asked.world, login) | {"user_view_type": "public"})


def get_repository(asked: Asked) -> Answer:
    repository = _find_repository(asked)
    _require(asked, "metadata", "read", repository)
    given: Given = {
        "id": repository.id,
        "name": repository.name,
        "full_name": repository.full_name,
        "default_branch": repository.default_branch,
        "archived": repository.archived,
        "permissions": {"push": repository.pushable, "pull": True, "admin": False},
    }
    return Answer(200, given)


def list_pulls(asked: Asked) -> Answer:
    repository = _find_repository(asked)
    _require(asked, "pull_requests", "read", repository)
    state, head = asked.query.get("state", "open"), asked.query.get("head", "")
    owner, colon, branch = head.partition(":")
    # https://docs.github.com/en/rest/pulls/pulls#list-pull-requests: without "owner:" the filter
    # is ignored, not an error.
    filtered = bool(colon) and repository.filters
    found = [
        _pull(asked, repository, pull)
        for pull in sorted(repository.pulls, key=lambda pull: -pull.number)
        if state in {"all", pull.state}
        and (not filtered or (owner, branch) == (repository.owner, pull.head))
    ]
    return _paged(asked, found)


def create_pull(asked: Asked) -> Answer:
    repository = _find_repository(asked)
    _require(asked, "pull_requests", "write", repository)
    body = asked.body
    _refuse_invalid(repository, body)
    if body.get("draft") and not repository.drafts:
        raise failure(422, *repository.draft_refusal)
    pull = Pull(
        number=len(repository.pulls) + 1,
        title=body["title"],
        body=body.get("body", ""),
        head=body["head"],
        base=body["base"],
        draft=body.get("draft", False),
    )
    repository.pulls.append(pull)
    return Answer(201, _pull(asked, repository, pull))


def _refuse_invalid(repository: Repository, body: Given) -> None:
    def refuse(**error: str) -> Answer:
        return failure(422, "Validation Failed", {"resource": "PullRequest", **error})

    head, base = body["head"], body["base"]
    for name, branch in (("head", head), ("base", base)):
        if repository.commit_of(branch) is None:
            raise refuse(field=name, code="invalid")
    if repository.commit_of(head) == repository.commit_of(base):
        raise refuse(code="custom", message=f"No commits between {base} and {head}")
    if any(p.head == head and p.base == base and p.state == "open" for p in repository.pulls):
        text = f"A pull request already exists for {repository.owner}:{head}."
        raise refuse(code="custom", message=text)
    for name, limit in (("title", 256), ("body", 65536)):
        if len(body.get(name, "")) > limit:
            raise refuse(field=name, code="custom", message=f"{name} is too long")


def _find_repository(asked: Asked) -> Repository:
    full_name = f"{asked.path['owner']}/{asked.path['repo']}"
    if found := asked.world.repository(full_name):
        return found
    if moved := asked.world.renamed(full_name):
        raise _moved(asked, full_name, moved)
    raise failure(*NOT_FOUND)


def _moved(asked: Asked, full_name: str, moved: Repository) -> Answer:
    """Send on to `/repositories/ID`, as GitHub does for a renamed repository."""
    rest = asked.url_path.removeprefix(f"/repos/{full_name}")
    status = 301 if asked.method == "GET" else 307
    query = f"?{asked.query_string}" if asked.query_string else ""
    url = f"{asked.api_url}/repositories/{moved.id}{rest}{query}"
    return Answer(status, {"message": "Moved Permanently", "url": url}, {"location": url})


def _find_installation(asked: Asked) -> Installation:
    for installation in asked.world.installations:
        if str(installation.id) == asked.path["installation_id"]:
            return installation
    raise failure(*NOT_FOUND)


def _require_app(asked: Asked) -> None:
    """Take only a signed statement of the App that is fresh by GitHub's clock."""
    try:
        claims = jwt.decode(
            _bearer(asked),
            asked.public_key,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError:
        raise failure(401, "A JSON web token could not be decoded") from None
    now = asked.now.timestamp()
    if claims["iss"] != str(asked.world.app_id) or claims["iat"] > now:
        raise failure(401, "'Issued at' claim ('iat') must be in the past")
    if not now < claims["exp"] <= now + 600:
        raise failure(401, "'Expiration time' claim ('exp') is too far in the future")


def _require_token(asked: Asked) -> Token:
    token = asked.world.tokens.get(_bearer(asked))
    if token is None or token.expires_at <= asked.now:
        raise failure(*BAD_CREDENTIALS)
    return token


def _require(asked: Asked, permission: str, level: str, repository: Repository) -> None:
    token = _require_token(asked)
    if not token.may("metadata", "read", repository):
        raise failure(*NOT_FOUND)  # GitHub does not tell strangers what exists
    if not token.may(permission, level, repository):
        raise failure(*NOT_ACCESSIBLE)


def _bearer(asked: Asked) -> str:
    scheme, _, value = asked.authorization.partition(" ")
    if scheme != "Bearer":
        raise failure(401, "Requires authentication")
    return value


def _installation(world: World, installation: Installation) -> Given:
    return {
        "id": installation.id,
        "app_id": world.app_id,
        "app_slug": world.slug,
        "account": {"login": installation.account},
        "permissions": installation.permissions,
        "repository_selection": "all" if installation.repositories is None else "selected",
        "suspended_at": "2026-01-01T00:00:00Z" if installation.suspended else None,
    }


def _user(world: World, login: str) -> Given:
    return {"id": world.users[login], "login": login}


def _pull(asked: Asked, repository: Repository, pull: Pull) -> Given:
    def side(branch: str) -> Given:
        return {"ref": branch, "sha": repository.commit_of(branch) or "0" * 40}

    return {
        "number": pull.number,
        "html_url": f"{asked.web_url}/{repository.full_name}/pull/{pull.number}",
        "state": pull.state,
        "draft": pull.draft,
        "title": pull.title,
        "body": pull.body,
        "merged_at": "2026-01-01T00:00:00Z" if pull.merged else None,
        "head": side(pull.head),
        "base": side(pull.base),
    }


def _paged(asked: Asked, items: list[Given]) -> Answer:
    """Give one page, with a link to the next."""
    size, page = int(asked.query.get("per_page", 30)), int(asked.query.get("page", 1))
    headers = {}
    if page * size < len(items):
        query = re.sub(r"(^|&)page=\d+$", "", asked.query_string)
        url = f"{asked.api_url}{asked.url_path}?{query}&page={page + 1}"
        headers["link"] = f'<{url}>; rel="next"'
    return Answer(200, items[(page - 1) * size : page * size], headers)


def read_body(raw: bytes) -> Given:
    """Read a body that the description has found good."""
    content: Given = json.loads(raw) if raw else {}
    return content


OPERATIONS: dict[tuple[str, str], Callable[[Asked], Answer]] = {
    ("GET", "/app"): get_app,
    ("GET", "/app/installations"): list_installations,
    ("GET", "/app/installations/{installation_id}"): get_installation,
    ("POST", "/app/installations/{installation_id}/access_tokens"): create_token,
    ("GET", "/repos/{owner}/{repo}/installation"): get_repository_installation,
    ("GET", "/repos/{owner}/{repo}"): get_repository,
    ("GET", "/repos/{owner}/{repo}/pulls"): list_pulls,
    ("POST", "/repos/{owner}/{repo}/pulls"): create_pull,
    ("GET", "/user"): get_user,
    ("GET", "/users/{username}"): get_public_user,
}
