"""Where repositories live, wired: what a task's repository may be, GitHub, and Git LFS."""

from functools import partial

from codebot.forge.github.connect import AppCredential, TokenCredential, connect
from codebot.forge.github.forge import GitHubForge
from codebot.intake.repository_url import RepositoryRules
from codebot.lfs.transfers import LargeFileTransfers
from codebot.queue.clock import steady_clock
from codebot.settings import GitHubSettings, Settings
from codebot.settings.proxy import proxy_for
from codebot.store.store import utc_now
from codebot.telemetry.redaction import Redactor


def repository_rules(settings: Settings) -> RepositoryRules:
    """Give what a task's repository may be."""
    github = settings.github
    return RepositoryRules(
        github_host=github.host if github.is_configured else None,
        allowed_patterns=settings.repositories,
        local_roots=settings.local_repos,
        insecure_loopback=github.web_url.startswith("http:"),
    )


def open_github(settings: Settings, redactor: Redactor) -> GitHubForge | None:
    """Give GitHub as the settings know it, None where they name no credential; to be closed."""
    credential = _credential(settings.github)
    if credential is None:
        return None
    return connect(
        credential,
        api_url=settings.github.api_url,
        web_url=settings.github.web_url,
        now=utc_now,
        steady=steady_clock(utc_now),
        redactor=redactor,
        certificate_file=settings.certificate_file,
        proxies=settings.proxies,
    )


def large_file_transfers(settings: Settings) -> LargeFileTransfers:
    """Give what brings large files from a forge, and takes them there."""
    proxy_of = partial(proxy_for, proxies=settings.proxies)
    return LargeFileTransfers(proxy_of, settings.certificate_file)


def _credential(github: GitHubSettings) -> AppCredential | TokenCredential | None:
    if github.app is not None:
        return AppCredential(github.app.app_id, github.app.private_key, github.app.installation_id)
    return None if github.token is None else TokenCredential(github.token)
