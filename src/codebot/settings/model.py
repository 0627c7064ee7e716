"""The settings as the rest of the program sees them: checked, typed, frozen."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from codebot.domain.conclusion import WhenUntested
from codebot.domain.secret import Secret
from codebot.telemetry.style import LogFormat, LogLevel


class Command(StrEnum):
    """Who asks for the settings: what must be there differs."""

    SERVE = "serve"
    WORKER = "worker"
    RUN = "run"
    DOCTOR = "doctor"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """The App that Codebot acts as; without an installation id it is looked up per repository."""

    app_id: str
    private_key: Secret
    installation_id: int | None


@dataclass(frozen=True, slots=True)
class GitHubSettings:
    """Which GitHub, and who we are there. `host` may carry a port; no URL ends in a slash."""

    host: str = "github.com"
    web_url: str = "https://github.com"
    api_url: str = "https://api.github.com"
    app: GitHubApp | None = None
    token: Secret | None = None

    @property
    def is_configured(self) -> bool:
        """Whether there is a credential to work with."""
        return self.app is not None or self.token is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator decided. Paths are absolute; nothing has been written yet.

    `database` is a file of SQLite, or the URL of a PostgreSQL database; `database_direct` is its
    server's where the other leads to a pooler.
    `agent_command` is empty for Claude Code. `anthropic_base_url` is a URL, or the path of a file
    of scripted model turns. `proxies` holds HTTPS_PROXY, HTTP_PROXY and NO_PROXY where set.
    `submodule_repos` are the local repositories that submodules may come from where those are not
    `local_repos`. `warnings` are sentences for the operator about what is set and has no effect, or
    is risky.
    """

    api_keys: tuple[Secret, ...] = ()
    host: str
    port: int
    public_url: str | None = None
    log_level: LogLevel
    log_format: LogFormat
    repositories: tuple[str, ...] = ()
    workers: int
    review_workers: int
    max_queue_size: int
    task_retention: timedelta
    drain_timeout: timedelta
    data_dir: Path
    work_dir: Path
    database: Path | Secret
    database_direct: Secret | None = None
    agent_command: tuple[str, ...] = ()
    claude_bin: Path | None = None
    model: str | None = None
    anthropic_api_key: Secret | None = None
    anthropic_auth_token: Secret | None = None
    anthropic_base_url: str | Path
    agent_timeout: timedelta
    agent_idle_timeout: timedelta
    test_timeout: timedelta
    setup_timeout: timedelta
    untested: WhenUntested
    environments: Path | None = None
    max_turns: int
    max_budget_usd: float
    max_tokens: int | None = None
    sandbox: str
    sandbox_paths: tuple[Path, ...] = ()
    memory_mb: int
    disk_mb: int
    overlay: bool = True
    cache_mb: int = 20_480
    max_processes: int
    protected_paths: tuple[str, ...]
    submodules: str
    filters: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()
    egress_private: tuple[str, ...] = ()
    github: GitHubSettings = field(default_factory=GitHubSettings)
    webhook_secret: Secret | None = None
    enable_polling: bool
    poll_interval: timedelta
    commanders: str
    reviewers: tuple[str, ...] = ()
    fix_ci: bool
    local_repos: tuple[Path, ...] = ()
    submodule_repos: tuple[Path, ...] | None = None
    certificate_file: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    path: str
    warnings: tuple[str, ...] = ()

    @property
    def has_model_credential(self) -> bool:
        """Whether a model can be asked at all: a key, a token, or a script that needs neither."""
        return bool(
            self.anthropic_api_key
            or self.anthropic_auth_token
            or isinstance(self.anthropic_base_url, Path)
        )

    @property
    def is_boxed(self) -> bool:
        """Whether agents and tests run in boxes: always, unless that was declined by name."""
        return self.sandbox != "none"

    @property
    def asks_a_model(self) -> bool:
        """Whether the agent goes through the model gateway (a command of one's own may not)."""
        return not self.agent_command


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a server bound to `host`.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
