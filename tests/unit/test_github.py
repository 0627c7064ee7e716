"""The GitHub client's pure parts: limits, addresses, errors, what is kept and for how long."""

import asyncio
import json
from datetime import datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from codebot.domain.outcome import NewPullRequest
from codebot.domain.repository import ForgeKind, Identity, Repository
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.errors import (
    ForgeBroken,
    ForgeError,
    ForgeForbidden,
    ForgeLimited,
    ForgeNotFound,
    ForgeRefused,
    ForgeUnauthorized,
)
from codebot.forge.github.answers import fault_of, read_answer
from codebot.forge.github.auth import AppLogin, PersonalLogin
from codebot.forge.github.cache import Cache
from codebot.forge.github.client import GitHubClient
from codebot.forge.github.forge import GitHubForge
from codebot.forge.github.gate import RateGate, pause_asked
from codebot.forge.github.models import InstallationToken, Pull, User
from codebot.settings.proxy import proxy_for
from codebot.telemetry.redaction import Redactor
from fakes.clock import Clock
from fakes.github.clock import SleepClock
from fakes.permits import a_permit

PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
REQUEST = httpx.Request("GET", "https://api.github.com/repos/octo/repo")


def answer(status: int, text: str = "", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, text=text, headers=named, request=REQUEST)


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (answer(200, x_ratelimit_remaining="0"), None),
        (answer(403, '{"message": "Resource not accessible"}'), None),
        (answer(429), 60),
        (answer(403, "You have exceeded a secondary rate limit"), 60),
        (answer(429, retry_after="7"), 7),
        (answer(403, "secondary", retry_after="7"), 7),
        (answer(429, retry_after="0"), 1),
        (answer(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 60),
        (
            answer(
                403,
                x_ratelimit_remaining="0",
                x_ratelimit_reset="1792569600",
                date="Wed, 21 Oct 2026 07:28:00 GMT",
            ),
            (
                datetime.fromisoformat("2026-10-21T08:00:00Z")
                - datetime.fromisoformat("2026-10-21T07:28:00Z")
            ).total_seconds(),
        ),
        (answer(403, x_ratelimit_remaining="0", x_ratelimit_reset="soon"), 60),
        (answer(429, retry_after="9" * 20), 86_400),
        (answer(429, retry_after="9" * 5000), 86_400),
        (
            answer(
                403,
                x_ratelimit_remaining="0",
                x_ratelimit_reset="253402300799",
                date="Wed, 21 Oct 2026 07:28:00 GMT",
            ),
            86_400,
        ),
    ],
)
def test_githubs_word_decides_how_long_to_be_quiet(
    response: httpx.Response, seconds: float | None
) -> None:
    pause = pause_asked(response, strikes=0)
    assert (None if pause is None else pause.total_seconds()) == seconds


def test_a_pause_without_a_time_doubles_up_to_a_bound() -> None:
    pauses = [pause_asked(answer(429), strikes=strikes) for strikes in range(7)]
    assert [p.total_seconds() / 60 for p in pauses if p] == [1, 2, 4, 8, 16, 16, 16]


async def test_a_gate_closes_ahead_when_the_last_call_is_used_up() -> None:
    clock = SleepClock()
    gate = RateGate(now=clock, sleep=clock.sleep)
    reset = str(int((clock() + timedelta(minutes=5)).timestamp()))
    date = f"{clock():%a, %d %b %Y %H:%M:%S GMT}"
    good = answer(200, x_ratelimit_remaining="0", x_ratelimit_reset=reset, date=date)
    assert not gate.observe(good)
    with pytest.raises(ForgeLimited) as caught:
        await gate.wait()
    assert caught.value.retry_after == timedelta(minutes=5)
    clock.pass_by(timedelta(minutes=5))
    await gate.wait()


async def test_many_at_a_closed_gate_wait_for_the_same_moment() -> None:
    clock = SleepClock()
    gate = RateGate(now=clock, sleep=clock.sleep)
    assert gate.observe(answer(429, retry_after="3"))
    await asyncio.gather(*(gate.wait() for _ in range(5)))
    assert clock.slept == [3.0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ForgeUnauthorized),
        (403, ForgeForbidden),
        (404, ForgeNotFound),
        (410, ForgeNotFound),
        (409, ForgeRefused),
        (422, ForgeRefused),
        (500, ForgeBroken),
        (503, ForgeBroken),
        (304, ForgeBroken),
    ],
)
def test_an_error_is_of_its_http_family(status: int, kind: type[ForgeError]) -> None:
    error = fault_of(answer(status, '{"message": "It\\nsays no"}'))
    assert type(error) is kind
    assert (error.retry_after is None) == (kind is not ForgeBroken)
    assert error.detail.endswith((".", "It says no"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"message": "No", "errors": [{"code": "custom", "message": "Because."}]},
            "No (Because.).",
        ),
        ({"message": "No", "errors": [{"message": "Because"}]}, "No (Because)."),
        ({"message": "No", "errors": [{"resource": "X", "field": "base"}]}, "No (base)."),
        ({"message": "No", "errors": ["This", {"code": "x"}, "That"]}, "No (This; x; That)."),
        ({"message": "No", "errors": "Because"}, "No (Because)."),
        ({"message": "No", "errors": {"message": "Because"}}, "No (Because)."),
        ({"message": "No", "errors": [None, 1, [], {}]}, "No."),
        ({"errors": ["Because"]}, "Because."),
        (
            {"message": "No", "documentation_url": "https://d.example/x"},
            "See https://d.example/x .",
        ),
        ({"message": "a" * 1000}, "a" * 1000),
        (
            {"message": "No", "errors": {"base": ["is gone", "is old"]}},
            "No (base: is gone, is old).",
        ),
        ({"message": "No", "errors": [{"head": "is gone"}]}, "No (head: is gone)."),
        ({"message": "No", "errors": [{"resource": "X", "value": "y"}]}, "No."),
        ({"error": "Because"}, "Because."),
        ({"message": None, "detail": "Because"}, "Because."),
        ("Because", "Because."),
    ],
)
@pytest.mark.parametrize("status", [401, 403, 404, 409, 422])
def test_githubs_reasons_are_shown_whole_in_whatever_form(
    status: int, body: dict[str, object], said: str
) -> None:
    assert said in fault_of(answer(status, json.dumps(body))).detail


def test_a_reason_in_plain_words_is_shown() -> None:
    error = fault_of(answer(403, "Your address is not allowed here.\n"))
    assert error.detail.endswith("answered with 403: Your address is not allowed here.")


def test_an_error_never_shows_a_page() -> None:
    page = fault_of(answer(403, "word " * 1_000))
    assert page.detail == "GET api.github.com/repos/octo/repo was answered with 403."
    error = fault_of(answer(403, "<html>" + "x" * 10_000))
    assert error.detail == "GET api.github.com/repos/octo/repo was answered with 403."
    long = fault_of(answer(403, '{"message": "' + "x" * 10_000 + '"}'))
    assert len(long.detail) < 4_100


def test_structured_findings_are_kept() -> None:
    body = '{"message": "Validation Failed", "errors": [{"field": "base", "code": "invalid"}, "x"]}'
    error = fault_of(answer(422, body))
    assert isinstance(error, ForgeRefused)
    assert error.problems == ("base: invalid", "x")


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"id": "x"}', "null"])
def test_a_senseless_answer_is_a_broken_forge(text: str) -> None:
    with pytest.raises(ForgeBroken) as caught:
        read_answer(answer(200, text), User)
    assert caught.value.retry_after


def test_a_token_is_not_in_the_repr_of_its_answer() -> None:
    issued = InstallationToken.model_validate(
        {"token": "ghs_canary", "expires_at": "2026-01-01T00:00:00Z"}
    )
    assert "canary" not in repr(issued)


def test_a_merged_pull_request_is_not_called_closed() -> None:
    pull = Pull.model_validate(
        {
            "number": 1,
            "html_url": "u",
            "state": "closed",
            "merged_at": "2026-01-01T00:00:00Z",
            "head": {"ref": "b"},
            "surprise": 1,
        }
    )
    assert pull.pull_request.state == "merged"


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [
        ("", True),
        ("other.example,localhost", True),
        ("hub.example", True),
        ("github.example", False),
        (".example", False),
        ("*.example", False),
        ("git.local, GitHub.Example:443", False),
        ("*", False),
    ],
)
def test_a_proxy_is_left_out_where_the_operator_says_so(no_proxy: str, *, proxied: bool) -> None:
    proxies = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}
    assert (proxy_for("https://github.example/api/v3", proxies) is not None) is proxied


async def test_a_value_is_fetched_once_for_all_who_wait() -> None:
    clock, fetched = Clock(), []

    async def fetch(key: str) -> tuple[str, datetime]:
        await asyncio.sleep(0)
        fetched.append(key)
        return f"{key}{len(fetched)}", clock() + timedelta(minutes=1)

    cache = Cache(fetch, now=clock)
    assert set(await asyncio.gather(*(cache.get("a") for _ in range(9)))) == {"a1"}
    clock.pass_by(timedelta(minutes=1))
    assert await cache.get("a") == "a2"
    cache.drop("a", "a1")  # a late caller's: the new value stays
    assert await cache.get("a") == "a2"
    cache.drop("a", "a2")
    assert await cache.get("a") == "a3"


async def test_a_failed_fetch_is_tried_again_by_the_next() -> None:
    clock, failures = Clock(), [ForgeBroken("down")]

    async def fetch(key: str) -> tuple[str, datetime]:
        if failures:
            raise failures.pop()
        return key, clock() + timedelta(minutes=1)

    cache = Cache(fetch, now=clock)
    with pytest.raises(ForgeBroken):
        await cache.get("a")
    assert await cache.get("a") == "a"


@pytest.mark.parametrize("errors", [["Drafts are not supported."], "No drafts", None])
async def test_a_draft_refused_in_a_form_that_github_does_not_describe_is_sent_without(
    errors: object,
) -> None:
    sent: list[dict[str, object]] = []

    def github(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            found = {"full_name": "octo/repo", "default_branch": "main", "archived": False}
            is_list = request.url.path.endswith("/pulls")
            return httpx.Response(200, json=[] if is_list else found)
        sent.append(json.loads(request.content))
        if sent[-1]["draft"]:
            return httpx.Response(422, json={"message": "Validation Failed", "errors": errors})
        opened = {"number": 1, "html_url": "u", "state": "open", "merged_at": None}
        return httpx.Response(201, json={**opened, "head": {"ref": "b"}})

    http = httpx.AsyncClient(transport=httpx.MockTransport(github), base_url="https://api.x")
    clock = Clock()
    client = GitHubClient(http, sleep=asyncio.sleep)
    gate = RateGate(now=clock, sleep=asyncio.sleep)
    login = PersonalLogin(client, token=Secret("ghp_x"), gate=gate)
    forge = GitHubForge(client, login, web_url="https://x", now=clock, sleep=asyncio.sleep)
    repository = Repository(ForgeKind.GITHUB, "x", "octo", "repo", "https://x/octo/repo.git")
    draft = NewPullRequest("t", "b", "b", "main", draft=True)
    await forge.open_pull_request(a_permit(), repository, draft, TaskId("task-1"))
    await forge.close()

    assert [(one["draft"], one["title"]) for one in sent] == [(True, "t"), (False, "[Draft] t")]


def forge_that_answers(status: int, login: type[PersonalLogin] | type[AppLogin]) -> GitHubForge:
    """Give a forge whose GitHub answers like this when it is asked who somebody is."""

    def github(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.startswith("/user"):
            return httpx.Response(status, json={"message": "Resource not accessible"})
        if path == "/app":
            return httpx.Response(200, json={"id": 1, "slug": "acme", "permissions": {}})
        return httpx.Response(201, json={"token": "ghs_x", "expires_at": "2099-01-01T00:00:00Z"})

    http = httpx.AsyncClient(transport=httpx.MockTransport(github), base_url="https://api.x")
    clock = Clock()
    client = GitHubClient(http, sleep=asyncio.sleep)

    def new_gate() -> RateGate:
        return RateGate(now=clock, sleep=asyncio.sleep)

    as_somebody: PersonalLogin | AppLogin = PersonalLogin(
        client, token=Secret("ghp_x"), gate=new_gate()
    )
    if login is AppLogin:
        as_somebody = AppLogin(
            client,
            app_id="1",
            private_key=Secret(PEM),
            installation_id=7,
            new_gate=new_gate,
            now=clock,
            redactor=Redactor(),
        )
    return GitHubForge(
        client, as_somebody, web_url="https://x.example", now=clock, sleep=asyncio.sleep
    )


@pytest.mark.parametrize("status", [403, 404])
async def test_a_credential_that_may_not_ask_who_it_is_speaks_for_no_stranger(status: int) -> None:
    person, app = (forge_that_answers(status, kind) for kind in (PersonalLogin, AppLogin))

    assert await person.identity() == Identity("Codebot", "codebot@noreply.invalid")
    address = "acme[bot]@users.noreply.x.example"
    assert await app.identity() == Identity("acme[bot]", address, "acme[bot]")
    assert "may not ask whose it is" in (await person.check())[0].detail
    for forge in (person, app):
        await forge.close()


async def test_a_bad_token_is_told_when_it_is_asked_who_it_is() -> None:
    person = forge_that_answers(401, PersonalLogin)
    with pytest.raises(ForgeUnauthorized):
        await person.identity()
    await person.close()
