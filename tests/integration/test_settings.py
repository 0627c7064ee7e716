import base64
import textwrap
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from codebot.domain.secret import Secret
from codebot.errors import ConfigError
from codebot.settings import Command, GitHubApp, Settings, load_settings
from codebot.telemetry.redaction import Redactor
from codebot.telemetry.style import LogLevel

KEY = "canary-key-1"
Load = Callable[..., Settings]


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


@pytest.fixture
def load(tmp_path: Path, redactor: Redactor) -> Load:
    def load(
        need: Command = Command.SERVE,
        *,
        flags: Mapping[str, str] | None = None,
        **environ: str,
    ) -> Settings:
        (tmp_path / "repos").mkdir(exist_ok=True)
        enough = {"CODEBOT_API_KEYS": KEY, "CODEBOT_LOCAL_REPOS": "repos"}
        given = {name: text for name, text in (enough | environ).items() if text != "-"}
        return load_settings(
            given, flags=flags or {}, dotenv_dir=tmp_path, need=need, redactor=redactor
        )

    return load


def problems(load: Load, need: Command = Command.SERVE, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(need, **environ)
    return list(caught.value.problems)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def rsa_key() -> bytes:
    return pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def test_the_defaults_are_those_of_the_documentation(load: Load, tmp_path: Path) -> None:
    settings = load()

    assert (settings.host, settings.port) == ("127.0.0.1", 5000)
    assert (settings.workers, settings.review_workers, settings.max_queue_size) == (1, 1, 100)
    assert settings.task_retention == timedelta(days=1)
    assert settings.data_dir == tmp_path / "codebot_data"
    assert settings.work_dir == tmp_path / "codebot_workspace"
    assert settings.database == tmp_path / "codebot_data" / "codebot.sqlite3"
    assert settings.agent_command == ()
    assert settings.anthropic_base_url == "https://api.anthropic.com"
    assert (settings.max_turns, settings.max_budget_usd) == (200, 10)
    assert (settings.sandbox, settings.log_level) == ("auto", LogLevel.INFO)
    assert (settings.github.host, settings.github.is_configured) == ("github.com", False)
    assert settings.warnings == ()


def test_nothing_is_written_by_reading(load: Load, tmp_path: Path) -> None:
    load()

    assert [path.name for path in tmp_path.iterdir()] == ["repos"]


def test_flags_win_over_environment_over_dotenv_over_defaults(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        'CODEBOT_PORT=1001\nexport CODEBOT_MAX_WORKERS=11\nCODEBOT_MODEL="a ${b}"\n'
    )
    settings = load(flags={"--port": "1003"}, CODEBOT_PORT="1002", CODEBOT_MAX_WORKERS="12")

    assert (settings.port, settings.workers, settings.max_queue_size) == (1003, 12, 100)
    assert settings.model == "a ${b}"


def test_a_blank_variable_counts_as_unset(load: Load) -> None:
    assert load(CODEBOT_PORT="  ").port == 5000


def test_every_problem_is_named_at_once(load: Load) -> None:
    found = problems(
        load,
        CODEBOT_API_KEYS="-",
        CODEBOT_LOCAL_REPOS="-",
        CODEBOT_PORT="70000",
        CODEBOT_MAX_WORKERS="none",
        CODEBOT_SANDBOX="docker",
        CODEBOT_DATABASE_URL="mysql://db/codebot",
        CODEBOT_CLAUDE_BIN="/no/such/claude",
        SSL_CERT_FILE="/no/such/ca.pem",
    )

    assert len(found) == 8
    text = "\n".join(found)
    assert "CODEBOT_PORT must be a whole number from 1 to 65535 (it is '70000')." in text
    for name in ("API_KEYS", "MAX_WORKERS", "SANDBOX", "DATABASE_URL", "CLAUDE_BIN"):
        assert f"CODEBOT_{name}" in text
    assert "No forge is configured" in text


@pytest.mark.parametrize("need", [Command.RUN, Command.DOCTOR])
def test_only_serve_needs_keys_and_a_forge(load: Load, need: Command) -> None:
    assert load(need, CODEBOT_API_KEYS="-", CODEBOT_LOCAL_REPOS="-").api_keys == ()


def test_keys_are_separated_by_commas_and_a_blank_one_is_refused(load: Load) -> None:
    assert load(CODEBOT_API_KEYS="key-number-1, key-number-2").api_keys == (
        Secret("key-number-1"),
        Secret("key-number-2"),
    )
    assert "blank entry" in problems(load, CODEBOT_API_KEYS="canary-key-1,,b")[0]


def test_a_key_that_can_be_guessed_is_warned_about(load: Load) -> None:
    assert "1 of the API keys can be guessed" in load(CODEBOT_API_KEYS=f"short,{KEY}").warnings[0]


def test_a_secret_may_come_from_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-the-file\n")

    settings = load(ANTHROPIC_API_KEY_FILE="key")
    assert settings.anthropic_api_key == Secret("from-the-file")
    assert problems(load, ANTHROPIC_API_KEY_FILE="key", ANTHROPIC_API_KEY="both-of-them") == [
        "ANTHROPIC_API_KEY and ANTHROPIC_API_KEY_FILE are both set; keep one."
    ]
    assert "cannot be read" in problems(load, GITHUB_TOKEN_FILE="missing")[0]


def test_every_secret_is_known_to_the_redactor_even_when_the_start_fails(
    load: Load, redactor: Redactor, tmp_path: Path, rsa_key: bytes
) -> None:
    (tmp_path / "token").write_text("canary-token-in-file")
    (tmp_path / "app.pem").write_bytes(rsa_key)
    (tmp_path / ".env").write_text("ANTHROPIC_AUTH_TOKEN=canary-in-dotenv\n")
    with pytest.raises(ConfigError) as caught:
        load(
            flags={"--webhook-secret": "canary-in-flag"},
            CODEBOT_API_KEYS="canary-one,canary two",
            ANTHROPIC_API_KEY="canary\x01broken",
            GITHUB_TOKEN_FILE="token",
            GITHUB_APP_ID="1",
            GITHUB_APP_PRIVATE_KEY_PATH="app.pem",
            HTTPS_PROXY="http://user:canary-proxy@proxy:3128",
        )

    assert "canary" not in caught.value.detail
    line = rsa_key.decode().splitlines()[3]
    for known in (
        "canary-one",
        "canary two",
        "canary\x01broken",
        "canary-token-in-file",
        "canary-in-dotenv",
        "canary-in-flag",
        "canary-proxy",
        line,
    ):
        assert redactor(f"a {known} b") == "a *** b"


def forms_of(key: bytes) -> dict[str, str]:
    text = key.decode()
    encoded = base64.b64encode(key).decode()
    return {
        "lines": text,
        "escaped": text.replace("\n", "\\n"),
        "escaped as on Windows": text.replace("\n", "\\r\\n"),
        "quoted": f'"{text}"',
        "one line": text.replace("\n", " "),
        "base64": encoded,
        "base64 in lines": "\n".join(textwrap.wrap(encoded, 76)),
        "base64 for URLs": base64.urlsafe_b64encode(key).decode().rstrip("="),
    }


@pytest.mark.parametrize("form", forms_of(b""))
def test_the_apps_key_may_be_set_by_value(
    load: Load, redactor: Redactor, rsa_key: bytes, form: str
) -> None:
    given = forms_of(rsa_key)[form]
    app = load(GITHUB_APP_ID="7", GITHUB_APP_PRIVATE_KEY=given).github.app

    assert app == GitHubApp("7", Secret(rsa_key.decode()), None)
    for line in (*rsa_key.decode().splitlines()[1:-2], *given.splitlines()[1:-2]):
        assert redactor(line) == "***"


@pytest.mark.parametrize("form", forms_of(b""))
@pytest.mark.parametrize("cut", [None, 100])
def test_a_key_in_the_place_of_its_path_is_told_by_its_kind_and_not_shown(
    load: Load, redactor: Redactor, rsa_key: bytes, form: str, cut: int | None
) -> None:
    given = forms_of(rsa_key)[form][:cut]
    for name in ("GITHUB_APP_PRIVATE_KEY_PATH", "GITHUB_APP_PRIVATE_KEY_FILE"):
        assert problems(load, GITHUB_APP_ID="7", **{name: given}) == [
            f"{name} looks like the key itself; write it to a file, or use GITHUB_APP_PRIVATE_KEY."
        ]
    assert redactor(given.strip()) in {"***", '"***'}


SECRETS = ("CODEBOT_API_KEYS", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GITHUB_TOKEN")
CANARY = "canary"


@pytest.mark.parametrize("name", [*SECRETS, "GITHUB_WEBHOOK_SECRET"])
@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-" + CANARY * 5,
        "ghp_" + CANARY * 6,
        CANARY * 5,
        f"{CANARY},{CANARY * 3}",
        f"/{CANARY}/+" + CANARY * 50,
        f"~{CANARY}/{CANARY}",
        f"{CANARY}\x01{CANARY}",
        f"{CANARY}\0{CANARY}",
        CANARY,
        f"/{CANARY}/a",
    ],
)
def test_no_part_of_what_names_no_file_is_shown(load: Load, name: str, secret: str) -> None:
    given = {**dict.fromkeys(SECRETS, "-"), f"{name}_FILE": secret}
    found = problems(load, CODEBOT_LOCAL_REPOS="repos", **{"CODEBOT_API_KEYS": KEY, **given})

    assert CANARY not in "\n".join(found).replace(KEY, "")
    assert found[0].startswith(f"{name}_FILE ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CODEBOT_DATABASE_URL", f"mysql://u:{CANARY}"),
        ("CODEBOT_DATABASE_URL", f"postgresql://u:{CANARY}@db:x/x"),
        ("CODEBOT_DATABASE_URL", f"postgresql://u:@{CANARY}@db/x"),
        ("CODEBOT_DATABASE_URL", f"postgresql://u:1/{CANARY}@db/x"),
        ("CODEBOT_DATABASE_URL", f"postgresql://{CANARY}:{CANARY}"),
        ("CODEBOT_DATABASE_URL", f"postgresql+psycopg://u:{CANARY}@db/x"),
        ("CODEBOT_EGRESS", f"https://files.example/?token={CANARY}"),
        ("CODEBOT_EGRESS", f"u:{CANARY}@files.example"),
        ("ANTHROPIC_BASE_URL", f"https://gateway.example/v1?key={CANARY}"),
        ("ANTHROPIC_BASE_URL", f"https://u:{CANARY}@gateway.example"),
        ("ANTHROPIC_BASE_URL", CANARY),
        ("GITHUB_API_URL", f"https://{CANARY}:x@ghe.example"),
        ("GITHUB_APP_ID", f"{CANARY}-{CANARY}"),
        ("CODEBOT_AGENT", f"my-agent --token {CANARY}"),
        ("CODEBOT_PUBLIC_URL", f"https://bot.example/#{CANARY}"),
        ("CODEBOT_REPOSITORIES", f"https://{CANARY}@github.com/o/r"),
        ("CODEBOT_WORK_DIR", f"{CANARY}\x01"),
        ("GITHUB_APP_PRIVATE_KEY", CANARY),
        ("GITHUB_APP_PRIVATE_KEY", f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}"),
    ],
)
def test_a_value_that_may_hold_a_credential_is_in_no_message(
    load: Load, tmp_path: Path, name: str, value: str
) -> None:
    assert CANARY not in "\n".join(problems(load, **{name: value})).replace(KEY, "")
    escaped = value.replace("\n", "\\n").replace("\x01", "\\x01")
    (tmp_path / ".env").write_text(f'{CANARY} {CANARY}\n{name}="{value}\n{name}={escaped}\n')
    assert CANARY not in "\n".join(problems(load)).replace(KEY, "")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("GITHUB_APP_INSTALLATION_ID", ""),
        ("CODEBOT_MAX_WORKERS", ""),
        ("CODEBOT_LOG_LEVEL", ""),
        ("CODEBOT_CLAUDE_BIN", ""),
        ("SSL_CERT_FILE", ""),
        ("CODEBOT_LOCAL_REPOS", ""),
        ("CODEBOT_LOCAL_REPOS", "/srv/"),
        ("CODEBOT_SANDBOX_PATHS", ""),
    ],
)
def test_a_secret_in_the_place_of_anything_else_is_not_shown(
    load: Load, rsa_key: bytes, name: str, prefix: str
) -> None:
    key = rsa_key.decode()
    for secret in (
        *(key, base64.b64encode(rsa_key).decode(), key.replace("\n", "\\n")),
        *("Zx81mQhT7pLwE94vRkZx81mQhT7pLwE94vRk", "ghp_" + "a1B2c3" * 6),
    ):
        told = "\n".join(problems(load, **{name: prefix + secret}))
        assert name in told
        assert not any(secret[start : start + 12] in told for start in range(len(secret) - 12))


def test_an_ordinary_mistake_is_shown(load: Load, tmp_path: Path) -> None:
    found = problems(load, CODEBOT_PORT="50a0", CODEBOT_LOCAL_REPOS="repositories-of-the-company")
    assert "(it is '50a0')" in found[0]
    assert f"names {tmp_path}/repositories-of-the-company, which" in found[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CODEBOT_PORT", "5000"),
        ("ANTHROPIC_BASE_URL", "https://gateway.example"),
        ("HTTPS_PROXY", f"http://me:{CANARY}@proxy:3128"),
        ("CODEBOT_LOCAL_REPOS", "/tmp"),
        ("GITHUB_APP_PRIVATE_KEY_PATH", "/etc/key.pem"),
        ("ANTHROPIC_API_KEY_FILE", "/etc/key"),
    ],
)
def test_what_cannot_be_read_for_its_quotes_is_told_of_them(
    load: Load, name: str, value: str
) -> None:
    found = problems(load, **{name: f'"{value}"'})
    assert any(one.startswith(f"{name} begins and ends with a quote") for one in found)
    assert CANARY not in "".join(found)


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("name", [*SECRETS, "GITHUB_WEBHOOK_SECRET"])
def test_quotes_that_were_kept_are_warned_about(
    load: Load, redactor: Redactor, name: str, quote: str
) -> None:
    settings = load(**{name: f"{quote}{CANARY}-value{quote}"})

    assert any(one.startswith(f"{name} begins and ends with a quote") for one in settings.warnings)
    assert CANARY not in "".join(settings.warnings)
    assert redactor(f"{CANARY}-value") == "***"


def test_a_typo_is_noticed(load: Load) -> None:
    assert load(CODEBOT_MAX_WORKER="3").warnings == (
        "CODEBOT_MAX_WORKER is not a setting and is ignored. Did you mean CODEBOT_MAX_WORKERS?",
    )


def test_what_waits_for_a_later_part_is_only_warned_about(load: Load) -> None:
    settings = load(GITHUB_WEBHOOK_SECRET="hook-secret-1", CODEBOT_FIX_CI="off")

    assert settings.warnings == (
        "GITHUB_WEBHOOK_SECRET has no effect yet: it waits for webhooks.",
        "CODEBOT_FIX_CI has no effect yet: it waits for red-CI rounds.",
    )


def test_other_machines_are_let_in_by_name(load: Load) -> None:
    assert load(CODEBOT_HOST="0.0.0.0").host == "0.0.0.0"


def test_what_boxes_may_reach_and_read_is_said_exactly(load: Load, tmp_path: Path) -> None:
    settings = load(CODEBOT_EGRESS="Files.Example.com, a.b", CODEBOT_SANDBOX_PATHS=str(tmp_path))
    assert settings.egress == ("files.example.com", "a.b")
    assert settings.sandbox_paths == (tmp_path,)
    for wrong in ("*.example.com", "example.com:8443", "10.0.0.1", "[::1]", "localhost", "a..b"):
        assert "CODEBOT_EGRESS must be full host names" in problems(load, CODEBOT_EGRESS=wrong)[0]
    for wrong in ("/etc/passwd", "../up", ":(exclude)x", "!x"):
        assert "PROTECTED_PATHS must be" in problems(load, CODEBOT_PROTECTED_PATHS=wrong)[0]
    assert "is not there" in problems(load, CODEBOT_SANDBOX_PATHS="/no/such/folder")[0]


def test_the_app_needs_its_id_and_a_readable_rsa_key(
    load: Load, tmp_path: Path, rsa_key: bytes
) -> None:
    (tmp_path / "app.pem").write_bytes(rsa_key)
    settings = load(GITHUB_APP_ID="7", GITHUB_APP_PRIVATE_KEY_PATH="app.pem", GITHUB_TOKEN="ghp_1")

    assert settings.github.app == GitHubApp("7", Secret(rsa_key.decode()), None)
    assert settings.github.token is None
    assert "GITHUB_TOKEN has no effect" in settings.warnings[0]
    assert "PRIVATE_KEY_PATH is missing" in problems(load, GITHUB_APP_ID="7")[0]
    assert "GITHUB_APP_ID is missing" in problems(load, GITHUB_APP_PRIVATE_KEY_PATH="app.pem")[0]


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "CODEBOT_CLAUDE_BIN", "CODEBOT_LOCAL_REPOS", "CODEBOT_SANDBOX_PATHS"]
)
def test_a_path_that_cannot_be_looked_at_is_a_problem(load: Load, name: str) -> None:
    too_long = f"/{'a' * 300}"  # as good as no permission, and no user is above it
    [problem] = problems(load, **{name: too_long})

    assert problem.startswith(f"{name} names {too_long}, which is not ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"GITHUB_APP_ID": "a b", "GITHUB_APP_PRIVATE_KEY_PATH": "app.pem"},
        {"GITHUB_APP_ID": "a b", "GITHUB_APP_INSTALLATION_ID": "7"},
        {"GITHUB_API_URL": "http://ghe.corp/api/v3"},
        {"CODEBOT_TASK_RETENTION": "0"},
        {"CODEBOT_API_KEYS_FILE": "/no/such/file", "CODEBOT_API_KEYS": "-"},
        {"GITHUB_TOKEN_FILE": "~nobody-of-this-name/a", "CODEBOT_LOCAL_REPOS": "-"},
    ],
    ids=["app", "installation", "api", "number", "keys", "token"],
)
def test_one_mistake_is_one_problem_in_plain_numbers(
    load: Load, tmp_path: Path, rsa_key: bytes, wrong: dict[str, str]
) -> None:
    (tmp_path / "app.pem").write_bytes(rsa_key)
    [problem] = problems(load, **wrong)

    assert problem.startswith(next(iter(wrong)))
    assert "e+" not in problem


@pytest.mark.parametrize("kind", ["elliptic", "with password", "public", "text", "binary", "none"])
def test_what_is_not_an_rsa_private_key_is_said_to_be_none(
    load: Load, tmp_path: Path, rsa_key: bytes, kind: str
) -> None:
    key = serialization.load_pem_private_key(rsa_key, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    content = {
        "elliptic": pem(ec.generate_private_key(ec.SECP256R1())),
        "with password": pem(key, b"password"),
        "public": key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "text": b"hello",
        "binary": b"\xff\xfe\x00",
    }
    if kind in content:
        (tmp_path / "app.pem").write_bytes(content[kind])

    [problem] = problems(load, GITHUB_APP_ID="7", GITHUB_APP_PRIVATE_KEY_PATH="app.pem")
    assert ("cannot be read" if kind == "none" else "not an RSA private key") in problem


@pytest.mark.parametrize(
    ("enterprise", "api", "host", "api_url"),
    [
        ("-", "-", "github.com", "https://api.github.com"),
        ("https://github.com/", "-", "github.com", "https://api.github.com"),
        ("-", "https://api.github.com", "github.com", "https://api.github.com"),
        ("https://Ghe.corp:8443", "-", "ghe.corp:8443", "https://Ghe.corp:8443/api/v3"),
        ("-", "https://ghe.corp/api/v3/", "ghe.corp", "https://ghe.corp/api/v3"),
        ("https://ghe.corp", "https://api.corp/x", "ghe.corp", "https://api.corp/x"),
        ("https://octo.ghe.com", "-", "octo.ghe.com", "https://api.octo.ghe.com"),
        ("-", "https://api.octo.ghe.com", "octo.ghe.com", "https://api.octo.ghe.com"),
        ("http://127.0.0.1:8080", "-", "127.0.0.1:8080", "http://127.0.0.1:8080/api/v3"),
    ],
)
def test_two_addresses_name_one_github(
    load: Load, enterprise: str, api: str, host: str, api_url: str
) -> None:
    github = load(GITHUB_ENTERPRISE_URL=enterprise, GITHUB_API_URL=api).github

    assert (github.host, github.api_url) == (host, api_url)


def test_plain_http_is_for_loopback_only(load: Load) -> None:
    assert "https" in problems(load, GITHUB_ENTERPRISE_URL="http://ghe.corp")[0]


def test_proxies_and_the_path_are_carried_as_plain_values(load: Load) -> None:
    settings = load(https_proxy="http://proxy:3128", NO_PROXY="localhost,.corp", PATH="/a:/b")

    assert settings.proxies == {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,.corp"}
    assert settings.path == "/a:/b"


def test_a_script_stands_in_for_a_model(load: Load, tmp_path: Path) -> None:
    script = tmp_path / "turns.json"
    script.write_text("{}")
    settings = load(ANTHROPIC_BASE_URL=f"scripted:{script}")

    assert settings.anthropic_base_url == script
    assert settings.has_model_credential
    assert not load().has_model_credential
    assert "ANTHROPIC_BASE_URL" in problems(load, ANTHROPIC_BASE_URL="scripted:/no/such")[0]


def test_a_dotenv_that_is_no_text_is_a_problem(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")

    assert ".env cannot be read" in problems(load)[0]


def test_a_line_of_a_dotenv_that_sets_nothing_is_named_by_its_number(
    load: Load, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("CODEBOT_PORT=6000\n# fine\n\nexport\n\n of nothing\n")

    found = [problem for problem in problems(load) if ".env" in problem]

    assert found == [f"{tmp_path / '.env'}, line 6, is not NAME=value."]
    assert capfd.readouterr().err == ""
