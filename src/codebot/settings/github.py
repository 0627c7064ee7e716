"""Which GitHub it is, and with which credential: the rules that several variables share."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from codebot.settings.model import GitHubApp, GitHubSettings, is_loopback

PUBLIC = GitHubSettings()


def read_github(
    values: Mapping[str, Any], tried: Collection[str], problems: list[str]
) -> GitHubSettings:
    """Put the GITHUB_* values together; what contradicts itself is added to `problems`.

    `tried` names what was set, good or bad: a bad value is a problem already, and not missing, too.
    """
    web_url, api_url = _addresses(values.get("GITHUB_ENTERPRISE_URL"), values.get("GITHUB_API_URL"))
    for name, url in (("GITHUB_ENTERPRISE_URL", web_url), ("GITHUB_API_URL", api_url)):
        parts = urlsplit(url)
        if name in values and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            problems.append(f"{name} must begin with https:// (http is for loopback only).")
    app = _read_app(values, tried, problems)
    return GitHubSettings(
        host=urlsplit(web_url).netloc.lower(),
        web_url=web_url,
        api_url=api_url,
        app=app,
        token=None if app else values.get("GITHUB_TOKEN"),
    )


def _addresses(enterprise: str | None, api: str | None) -> tuple[str, str]:
    """Give the web and the API address; each follows from the other where only one is set."""
    if enterprise is None and api is None:
        return PUBLIC.web_url, PUBLIC.api_url
    web = enterprise or _web_of(str(api))
    if urlsplit(web).hostname == PUBLIC.host:
        return PUBLIC.web_url, api or PUBLIC.api_url
    return web, api or _api_of(web)


def _web_of(api: str) -> str:
    """Give the web address that an API address belongs to.

    `api.github.com` and, for data residency, `api.SUBDOMAIN.ghe.com` are hosts of their own;
    an Enterprise Server has its API under a path.
    https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom

    >>> _web_of("https://api.octo.ghe.com"), _web_of("https://git.example.org/api/v3")
    ('https://octo.ghe.com', 'https://git.example.org')
    """
    parts = urlsplit(api)
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}"


def _api_of(web: str) -> str:
    parts = urlsplit(web)
    if parts.netloc.endswith(".ghe.com"):
        return f"{parts.scheme}://api.{parts.netloc}"
    return f"{web}/api/v3"


def _read_app(
    values: Mapping[str, Any], tried: Collection[str], problems: list[str]
) -> GitHubApp | None:
    """Give the App when it is complete; a part without the other is a problem."""
    app_id, key = values.get("GITHUB_APP_ID"), values.get("GITHUB_APP_PRIVATE_KEY")
    installation: int | None = values.get("GITHUB_APP_INSTALLATION_ID")
    if app_id is None and "GITHUB_APP_PRIVATE_KEY" not in tried:
        if installation is not None and not {"GITHUB_TOKEN", "GITHUB_APP_ID"} & set(tried):
            problems.append("GITHUB_APP_INSTALLATION_ID is set without GITHUB_APP_ID.")
        return None
    problems += [
        f"{missing} is missing: a GitHub App needs its id and its private key."
        for name, missing in (
            ("GITHUB_APP_ID", "GITHUB_APP_ID"),
            ("GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_PRIVATE_KEY_PATH"),
        )
        if name not in tried
    ]
    return GitHubApp(app_id, key, installation) if app_id and key else None
