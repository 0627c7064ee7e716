"""What `codebot doctor` says about GitHub: the credential, its permissions, the installation."""

from collections.abc import Sequence

from codebot.domain.ports import Finding
from codebot.errors import CodebotError, ForgeError, ForgeForbidden, ForgeNotFound
from codebot.forge.github.auth import AppLogin, Login, PersonalLogin, missing_permissions
from codebot.forge.github.models import App, Installation

CREDENTIAL = "GitHub credential"
PERMISSIONS = "GitHub App permissions"
INSTALLATION = "GitHub App installation"


async def check_login(login: Login) -> Sequence[Finding]:
    """Try the credential and look at what it may do; never raises a `ForgeError`."""
    try:
        if isinstance(login, AppLogin):
            return await _check_app(login)
        detail = await _whose(login)
    except ForgeError as error:
        return (_bad(CREDENTIAL, error),)
    return (Finding(CREDENTIAL, ok=True, detail=detail),)


async def _whose(login: PersonalLogin) -> str:
    try:
        return f"the token of {(await login.user()).login}"
    except (ForgeForbidden, ForgeNotFound):
        return "a token that may not ask whose it is: its commits are in Codebot's own name"


async def _check_app(login: AppLogin) -> Sequence[Finding]:
    app = await login.app()
    good = Finding(CREDENTIAL, ok=True, detail=f"the App {app.slug}")
    return (good, _check_permissions(app), await _check_installations(login))


def _check_permissions(app: App) -> Finding:
    missing = missing_permissions(app.permissions)
    if not missing:
        return Finding(PERMISSIONS, ok=True, detail="contents and pull requests may be written")
    return Finding(
        PERMISSIONS,
        ok=False,
        detail=f"missing: {', '.join(missing)}",
        remedy="Grant them under Permissions & events in the App's settings.",
    )


async def _check_installations(login: AppLogin) -> Finding:
    try:
        installations = await login.installations()
    except ForgeError as error:
        return _bad(INSTALLATION, error)
    usable = [found for found in installations if _is_usable(found)]
    if usable:
        names = sorted(_account(found) for found in usable)
        return Finding(INSTALLATION, ok=True, detail=f"usable for {', '.join(names)}")
    return Finding(
        INSTALLATION,
        ok=False,
        detail=f"{len(installations)} found, none of them usable",
        remedy="Install the App, accept its permissions, and unsuspend it where it is suspended.",
    )


def _is_usable(installation: Installation) -> bool:
    return installation.suspended_at is None and not missing_permissions(installation.permissions)


def _account(installation: Installation) -> str:
    return "an account" if installation.account is None else installation.account.login


def _bad(name: str, error: CodebotError) -> Finding:
    return Finding(name, ok=False, detail=error.detail, remedy=error.hint)
