"""Every setting: its variable, its default, how it is read, and one line on what it is for.

The reference page is made from this table (`settings_reference`), so it cannot be out of date.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codebot.domain.conclusion import WhenUntested
from codebot.settings import parse
from codebot.settings.proxy import proxy_address
from codebot.telemetry.style import LogFormat, LogLevel

DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable. `default` is read like a given value; "" means that there is none.

    `field` is where the value goes in `Settings`, "" for those that are combined with others.
    A secret may also come from the file named by `NAME_FILE`. `flag` is the command line's name
    for it. `later` names the part that a setting waits for: until then it is only warned about.
    `file_of` names the secret whose file this is, under a name of its own.
    """

    name: str
    field: str
    parse: Callable[[str], Any]
    default: str
    doc: str
    secret: bool = False
    flag: str = ""
    later: str = ""
    file_of: str = ""


SETTINGS: tuple[Setting, ...] = (
    # --- HTTP
    Setting("CODEBOT_API_KEYS", "api_keys", parse.listed(parse.secret), "",
            "Keys that callers send, comma-separated; `serve` needs at least one.",
            secret=True, flag="--api-key"),
    Setting("CODEBOT_HOST", "host", parse.host, "127.0.0.1",
            "Address to listen on.",
            flag="--host"),
    Setting("CODEBOT_PORT", "port", parse.integer(1, 65535), "5000",
            "Port to listen on.", flag="--port"),
    Setting("CODEBOT_PUBLIC_URL", "public_url", parse.url, "",
            "The service's address as others reach it, used in links."),
    Setting("CODEBOT_REPOSITORIES", "repositories", parse.listed(parse.repository_pattern), "",
            "`owner/name` patterns that tasks may name, comma-separated; all when unset."),
    Setting("CODEBOT_LOCAL_REPOS", "local_repos", parse.listed(parse.path), "",
            "Directories whose repositories may be used without a forge, comma-separated."),
    # --- Work
    Setting("CODEBOT_MAX_WORKERS", "workers", parse.integer(0, 128), "1",
            "Tasks worked on at once by this process; 0, on PostgreSQL, leaves the work to others.",
            flag="--workers"),
    Setting("CODEBOT_MAX_REVIEW_WORKERS", "review_workers", parse.integer(1, 128), "1",
            "Review answers worked on at once.", later="review answers"),
    Setting("CODEBOT_MAX_QUEUE_SIZE", "max_queue_size", parse.integer(1, 1_000_000), "100",
            "Tasks that may wait; one more is answered with 429."),
    Setting("CODEBOT_TASK_RETENTION", "task_retention", parse.seconds(1, 3650 * DAY), "86400",
            "Seconds after its end until a task and its workspace are deleted."),
    Setting("CODEBOT_DRAIN_TIMEOUT", "drain_timeout", parse.seconds(0, DAY), "30",
            "Seconds that running tasks get to end when the service stops.",
            flag="--drain-timeout"),
    Setting("CODEBOT_DATA_DIR", "data_dir", parse.path, "./codebot_data",
            "Store and mirrors; made with mode 0700 when first needed."),
    Setting("CODEBOT_WORK_DIR", "work_dir", parse.path, "./codebot_workspace",
            "Workspaces; made with mode 0700 when first needed.", flag="--work-dir"),
    Setting("CODEBOT_DATABASE_URL", "database", parse.database, "",
            "`sqlite:///PATH`; `codebot.sqlite3` in the data directory when unset. Or "
            "`postgresql://ROLE:PASSWORD@HOST:PORT/NAME`, which any number of machines may share.",
            secret=True),
    Setting("CODEBOT_DATABASE_DIRECT_URL", "database_direct", parse.postgres, "",
            "The URL of the PostgreSQL server itself where CODEBOT_DATABASE_URL leads to a pooler: "
            "for wake-ups and migrations. The same as that one when unset.", secret=True),
    Setting("CODEBOT_LOG_LEVEL", "log_level", parse.one_of(LogLevel), "info",
            "`debug`, `info`, `warning` or `error`."),
    Setting("CODEBOT_LOG_FORMAT", "log_format", parse.one_of(LogFormat), "auto",
            "`console`, `json`, or `auto`: console on a terminal, JSON lines elsewhere."),
    Setting("CODEBOT_SUBMODULES", "submodules", parse.built("auto", "off", later=()), "auto",
            "`auto`: a workspace holds the submodules that lie on the same forge and may be read; "
            "`off`: none."),
    # --- Agent and model
    Setting("CODEBOT_AGENT", "agent_command", parse.agent, "claude",
            "`claude`, or `command:` and a command line that reads the prompt on stdin."),
    Setting("CODEBOT_CLAUDE_BIN", "claude_bin", parse.path, "",
            "The Claude Code program; found on PATH or in the `claude` extra when unset."),
    Setting("CODEBOT_MODEL", "model", parse.text, "",
            "The model to ask for; the agent's own choice when unset."),
    Setting("ANTHROPIC_API_KEY", "anthropic_api_key", parse.secret, "",
            "The model's credential; the agent never sees it.", secret=True),
    Setting("ANTHROPIC_AUTH_TOKEN", "anthropic_auth_token", parse.secret, "",
            "The same as a bearer token, for gateways that want one.", secret=True),
    Setting("ANTHROPIC_BASE_URL", "anthropic_base_url", parse.model_endpoint,
            "https://api.anthropic.com",
            "The model's address, or `scripted:/path/to/turns.json`: turns played from a file."),
    Setting("CODEBOT_AGENT_TIMEOUT", "agent_timeout", parse.seconds(1, 7 * DAY), "3600",
            "Seconds that one round of the agent may take."),
    Setting("CODEBOT_AGENT_IDLE_TIMEOUT", "agent_idle_timeout", parse.seconds(1, 7 * DAY), "600",
            "Seconds that the agent may say nothing."),
    Setting("CODEBOT_TEST_TIMEOUT", "test_timeout", parse.seconds(1, 7 * DAY), "900",
            "Seconds that the test command may take."),
    Setting("CODEBOT_SETUP_TIMEOUT", "setup_timeout", parse.seconds(1, 7 * DAY), "1200",
            "Seconds that setting a repository up may take."),
    Setting("CODEBOT_ENVIRONMENTS", "environments", parse.path, "",
            "A TOML file that says how repositories are set up and tested, one table for each: "
            '`["owner/name"]` or `["/folder"]`, with the keys of `.codebot.toml`. It goes first.'),
    Setting("CODEBOT_UNTESTED", "untested", parse.one_of(WhenUntested), "draft",
            "What becomes of a change that nothing could test: `draft` or `ready` is how its pull "
            "request is opened, `fail` ends the task."),
    Setting("CODEBOT_MAX_TURNS", "max_turns", parse.integer(1, 10_000), "200",
            "Model turns a task may use."),
    Setting("CODEBOT_MAX_BUDGET_USD", "max_budget_usd", parse.number(0.01, 10_000), "10",
            "Dollars a task may cost."),
    Setting("CODEBOT_MAX_TOKENS", "max_tokens", parse.integer(1, 10**12), "",
            "Model tokens, in and out together, a task may use; no cap of its own when unset."),
    # --- The box
    Setting("CODEBOT_SANDBOX", "sandbox",
            parse.built("auto", "bubblewrap", "none", later=("docker",)), "auto",
            "`auto` or `bubblewrap`: boxed, or the start is refused; `none`: no isolation, asked "
            "for by name."),
    Setting("CODEBOT_SANDBOX_PATHS", "sandbox_paths", parse.listed(parse.path), "",
            "Further folders that boxes may read (toolchains outside /usr), comma-separated."),
    Setting("CODEBOT_MEMORY_MB", "memory_mb", parse.integer(64, 1024**2), "4096",
            "Memory of one box, in MiB."),
    Setting("CODEBOT_DISK_MB", "disk_mb", parse.integer(16, 1024**2), "10240",
            "Disk of one task's workspace, in MiB."),
    Setting("CODEBOT_OVERLAY", "overlay", parse.switch, "on",
            "Lay a task's tree above one that all tasks of a commit share, where that works "
            "(overlayfs); `off`: copy it."),
    Setting("CODEBOT_CACHE_MB", "cache_mb", parse.integer(0, 1024**3), "20480",
            "Disk for all that is kept to save time (mirrors, templates, environments, packages), "
            "in MiB; what was not used for longest goes first, and nothing that a task stands on."),
    Setting("CODEBOT_MAX_PROCESSES", "max_processes", parse.integer(16, 100_000), "512",
            "Processes and threads of one box."),
    Setting("CODEBOT_EGRESS", "egress", parse.listed(parse.egress_host), "",
            "Further hosts that the agent and the tests may reach by https (port 443), exactly as "
            "named, comma-separated; the package registries are always there, for reading."),
    Setting("CODEBOT_REGISTRIES", "registries", parse.listed(parse.registry),
            "python, npm, go, rust, java, ruby, dotnet, php, elixir",
            "The ecosystems whose public registries boxes may read, and addresses of further "
            "registries (`https://repo.example/maven`), comma-separated."),
    Setting("CODEBOT_EGRESS_PRIVATE", "egress_private", parse.listed(parse.network), "",
            "Networks (`10.0.0.0/8`) that registries and hosts of CODEBOT_EGRESS may be in though "
            "they are not public, comma-separated; never this machine itself or its link."),
    Setting("CODEBOT_PROTECTED_PATHS", "protected_paths", parse.listed(parse.protected_path),
            ".github/workflows/**, .github/actions/**, **/CODEOWNERS, .github/dependabot.yml, "
            ".gitlab-ci.yml, .circleci/**, azure-pipelines.yml, Jenkinsfile, .gitmodules, "
            ".codebot.toml",
            "Paths that no change may touch, comma-separated git patterns (`**` spans folders)."),
    Setting("CODEBOT_FILTERS", "filters", parse.listed(parse.text), "",
            "Filters of `.gitattributes` (`git-crypt`) whose files may be published as they "
            "are, comma-separated; a change of any other filtered file is refused."),
    # --- GitHub
    Setting("GITHUB_APP_ID", "", parse.app_id, "", "The GitHub App's id."),
    Setting("GITHUB_APP_PRIVATE_KEY_PATH", "", parse.path, "",
            "The file of the App's private key (PEM).", file_of="GITHUB_APP_PRIVATE_KEY"),
    Setting("GITHUB_APP_PRIVATE_KEY", "", parse.private_key, "",
            "The App's private key itself: its PEM, with lines or with `\\n` for them, or in "
            "Base64.", secret=True),
    Setting("GITHUB_APP_INSTALLATION_ID", "", parse.integer(1, 2**53), "",
            "The App's installation; looked up per repository when unset."),
    Setting("GITHUB_TOKEN", "", parse.secret, "",
            "A personal token instead of an App, for one person.", secret=True),
    Setting("GITHUB_ENTERPRISE_URL", "", parse.url, "",
            "The address of a GitHub Enterprise Server; github.com when unset."),
    Setting("GITHUB_API_URL", "", parse.url, "",
            "The API's address; `<enterprise>/api/v3` when unset. Alone it names the host, too."),
    Setting("GITHUB_WEBHOOK_SECRET", "webhook_secret", parse.secret, "",
            "Turns `/webhook` on.", secret=True, flag="--webhook-secret", later="webhooks"),
    Setting("CODEBOT_ENABLE_POLLING", "enable_polling", parse.switch, "off",
            "Ask GitHub for new comments regularly.", flag="--enable-polling", later="polling"),
    Setting("CODEBOT_POLL_INTERVAL", "poll_interval", parse.seconds(10, DAY), "300",
            "Seconds between two polls.", flag="--poll-interval", later="polling"),
    Setting("CODEBOT_COMMANDERS", "commanders", parse.text, "write",
            "The permission that lets a person command the bot.", later="review answers"),
    Setting("CODEBOT_REVIEWERS", "reviewers", parse.listed(parse.text), "",
            "Who is asked to review, comma-separated.", later="asking for reviews"),
    Setting("CODEBOT_FIX_CI", "fix_ci", parse.switch, "on",
            "Work on pull requests whose CI is red.", later="red-CI rounds"),
    # --- The way out
    Setting("SSL_CERT_FILE", "certificate_file", parse.path, "",
            "A file of trusted certificates (a company's CA), for HTTP and git alike."),
    Setting("HTTPS_PROXY", "", proxy_address, "",
            "The proxy for https, for HTTP and git alike: `[http://][USER:PASSWORD@]HOST[:PORT]`, "
            "also https and socks5."),
    Setting("HTTP_PROXY", "", proxy_address, "", "The proxy for plain http."),
    Setting("ALL_PROXY", "", proxy_address, "", "The proxy for what has none of its own."),
    Setting("NO_PROXY", "", parse.text, "",
            "Hosts that are reached without the proxy: names, `.suffixes`, addresses and networks, "
            "with or without port, or `*`."),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_FLAG = {setting.flag: setting for setting in SETTINGS if setting.flag}

FILE_VARIABLES = {
    setting.name: (
        f"{setting.name}_FILE",
        *(other.name for other in SETTINGS if other.file_of == setting.name),
    )
    for setting in SETTINGS
    if setting.secret
}
"""For each secret the variables that may name its file."""
