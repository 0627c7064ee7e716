"""The gateway between a client and a stand-in for the Messages API, over real sockets."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from codebot.domain.budget import Caps
from codebot.domain.event import EventData
from codebot.domain.outcome import ModelRefusal
from codebot.domain.ports import GatewayAccess
from codebot.domain.run import RunId
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.gateway import anthropic, incoming
from codebot.gateway.anthropic import AnthropicUpstream
from codebot.gateway.gateway import Gateway
from codebot.gateway.metering import Metered
from codebot.gateway.upstream import NoUpstream
from codebot.telemetry.redaction import Redactor
from fakes.upstream import END, MODEL, START, FakeUpstream, gives, json_answer, whole_message

KEY = "sk-ant-canary-7f3a9c51"
TASK = TaskId("task-1")
GENEROUS = Caps(max_turns=1000, max_budget_usd=1000.0)
QUESTION = {
    "model": MODEL,
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hi"}],
}
PATIENT = httpx.Timeout(20)
IMPATIENT = httpx.Timeout(0.3)


@dataclass
class Setting:
    """Everything a test stands on: a fake API, the gateway before it, one admitted run."""

    api: FakeUpstream
    gateway: Gateway
    redactor: Redactor
    access: GatewayAccess
    client: httpx.AsyncClient

    def headers(self, access: GatewayAccess | None = None) -> dict[str, str]:
        return {"authorization": f"Bearer {(access or self.access).token.reveal()}"}

    async def ask(self, **more: str) -> httpx.Response:
        headers = {**self.headers(), **more}
        return await self.client.post("/v1/messages?beta=true", json=QUESTION, headers=headers)


@asynccontextmanager
async def a_setting(limits: httpx.Timeout = PATIENT) -> AsyncIterator[Setting]:
    async with FakeUpstream() as api:
        redactor = Redactor()
        upstream = AnthropicUpstream(api.url, api_key=Secret(KEY), limits=limits)
        gateway = Gateway(upstream, redactor=redactor)
        await gateway.start()
        access = gateway.admit(RunId("run-1"), TASK, GENEROUS)
        async with httpx.AsyncClient(base_url=access.url, trust_env=False, timeout=5) as client:
            yield Setting(api, gateway, redactor, access, client)
        await gateway.close()


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with a_setting() as setting:
        yield setting


def error_of(answer: httpx.Response) -> str:
    body = answer.json()
    assert body["type"] == "error"
    assert body["error"]["message"]
    kind: str = body["error"]["type"]
    return kind


# --- Who may pass ----------------------------------------------------------------------------


async def test_the_token_opens_in_either_header(setting: Setting) -> None:
    token = setting.access.token.reveal()
    for header in ({"authorization": f"bearer {token}"}, {"x-api-key": token}):
        answer = await setting.client.post("/v1/messages", json=QUESTION, headers=header)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": f"Bearer {KEY}"},
        {"x-api-key": "wrong"},
        {"authorization": b"Bearer \xff\xfe"},
    ],
)
async def test_without_its_token_nothing_passes(setting: Setting, header: dict[str, str]) -> None:
    answer = await setting.client.post("/v1/messages", json=QUESTION, headers=header)
    assert (answer.status_code, error_of(answer)) == (401, "authentication_error")
    assert setting.api.asked == []


async def test_a_stranger_does_not_learn_which_paths_there_are(setting: Setting) -> None:
    assert error_of(await setting.client.get("/v1/models")) == "authentication_error"


async def test_the_token_of_a_dismissed_run_is_worthless(setting: Setting) -> None:
    await setting.gateway.dismiss(setting.access)
    assert error_of(await setting.ask()) == "authentication_error"
    assert setting.api.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("POST", "/v1/complete"),
        ("POST", "/v1/files"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/messages/../files"),
        ("POST", "/v1/messages?upload=1"),
        ("GET", "/v1/models"),
        ("GET", "/"),
    ],
)
async def test_only_the_messages_paths_pass(setting: Setting, method: str, path: str) -> None:
    answer = await setting.client.request(method, path, headers=setting.headers())
    assert (answer.status_code, error_of(answer)) == (404, "not_found_error")
    assert setting.api.asked == []


async def test_counting_tokens_passes_and_is_no_turn(setting: Setting) -> None:
    setting.api.behaviour = json_answer({"input_tokens": 12})
    path = "/v1/messages/count_tokens"
    answer = await setting.client.post(path, json=QUESTION, headers=setting.headers())
    assert answer.json() == {"input_tokens": 12}
    assert setting.api.asked[0].path == path
    assert setting.gateway.usage(setting.access).turns == 0


@pytest.mark.parametrize("declared", [True, False])
async def test_a_request_beyond_the_api_s_own_limit_is_refused(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, *, declared: bool
) -> None:
    monkeypatch.setattr(incoming, "LONGEST_BODY", 1000)

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    body = b"x" * 2000 if declared else in_pieces()
    answer = await setting.client.post("/v1/messages", content=body, headers=setting.headers())
    assert (answer.status_code, error_of(answer)) == (413, "request_too_large")
    assert setting.api.asked == []


# --- What passes -----------------------------------------------------------------------------


async def test_the_credential_is_swapped_and_only_useful_headers_pass(setting: Setting) -> None:
    told = {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b", "user-agent": "cli/1"}
    kept_back = {"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "proxy-authorization": "Basic x"}
    await setting.ask(**told, **kept_back)
    [asked] = setting.api.asked
    assert (asked.path, asked.query, json.loads(asked.body)) == (
        "/v1/messages",
        "beta=true",
        QUESTION,
    )
    assert told.items() <= asked.headers.items()
    assert asked.headers["x-api-key"] == KEY
    assert not {"authorization", *kept_back} & asked.headers.keys()
    assert asked.headers["host"] in setting.api.url


async def test_an_auth_token_goes_up_as_bearer() -> None:
    async with FakeUpstream() as api:
        upstream = AnthropicUpstream(f"{api.url}/prefix/", auth_token=Secret(KEY))
        gateway = Gateway(upstream, redactor=Redactor())
        await gateway.start()
        access = gateway.admit(RunId("run-1"), TASK, GENEROUS)
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"x-api-key": access.token.reveal()}
            await client.post(f"{access.url}/v1/messages", json=QUESTION, headers=headers)
        await gateway.close()
    [asked] = api.asked
    assert asked.path == "/prefix/v1/messages"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in asked.headers


async def test_a_stream_passes_piece_by_piece(setting: Setting) -> None:
    setting.api.behaviour = setting.api.streams
    async with setting.client.stream(
        "POST", "/v1/messages", json=QUESTION, headers=setting.headers()
    ) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == START  # the API has not gone on: nothing was held back
        setting.api.go_on.set()
        assert b"".join([piece async for piece in pieces]) == END
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


# --- What goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_the_api_s_own_errors_pass_as_they_are(setting: Setting, status: int) -> None:
    body = json.dumps({"type": "error", "error": {"type": "x_error", "message": "So."}}).encode()
    setting.api.behaviour = gives(status, body, retry_after="7", set_cookie="a=b")
    answer = await setting.ask()
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["retry-after"] == "7"
    assert "set-cookie" not in answer.headers
    assert answer.headers.get("x-should-retry") == ("false" if status == 401 else None)
    assert setting.gateway.metered(setting.access).errors == {status: 1}


async def test_without_a_credential_every_call_is_refused_for_good() -> None:
    gateway = Gateway(NoUpstream(), redactor=Redactor())
    await gateway.start()
    access = gateway.admit(RunId("run"), TASK, GENEROUS)
    headers = {"authorization": f"Bearer {access.token.reveal()}"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{access.url}/v1/messages", json=QUESTION, headers=headers)
    await gateway.close()
    assert (answer.status_code, error_of(answer)) == (401, "authentication_error")
    assert answer.headers["x-should-retry"] == "false"
    assert "ANTHROPIC_API_KEY" in answer.text


async def test_a_redirect_is_not_followed(setting: Setting) -> None:
    setting.api.behaviour = gives(307, b"{}", location=f"{setting.api.url}/v1/messages")
    answer = await setting.ask()
    assert (answer.status_code, error_of(answer)) == (502, "api_error")
    assert answer.headers["x-should-retry"] == "false"
    assert "location" not in answer.headers
    assert len(setting.api.asked) == 1


@pytest.mark.parametrize(("status", "shown"), [(200, 502), (403, 403), (503, 503)])
async def test_a_page_for_people_becomes_an_error_for_clients(
    setting: Setting, status: int, shown: int
) -> None:
    setting.api.behaviour = gives(status, b"<html>Sign in, please</html>", "text/html")
    answer = await setting.ask()
    assert (answer.status_code, error_of(answer)) == (shown, "api_error")
    assert "html>" not in answer.text
    assert answer.headers["x-should-retry"] == ("true" if status == 503 else "false")


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize(
    ("body", "kind"), [(b"<html>Slow</html>", "text/html"), (b"", ""), (b"{}", "application/json")]
)
async def test_a_limit_with_any_body_is_passed_on_with_its_pause(
    setting: Setting, status: int, body: bytes, kind: str
) -> None:
    for told, seconds, is_final in (("1", "1", None), ("3600", "3600", "false")):
        setting.api.behaviour = gives(status, body, kind, retry_after=told)
        answer = await setting.ask()

        assert (answer.status_code, answer.headers["retry-after"]) == (status, seconds)
        assert answer.headers.get("x-should-retry") in {is_final, is_final or "true"}
    refusal = setting.gateway.metered(setting.access).refusal
    assert refusal == ModelRefusal(status, pause=timedelta(hours=1))


async def test_no_credit_is_final_and_forgotten_with_the_next_answer(setting: Setting) -> None:
    body = b'{"error": {"message": "Your credit balance is too low"}}'
    setting.api.behaviour = gives(400, body, "application/json")
    answer = await setting.ask()

    assert (answer.status_code, answer.headers["x-should-retry"]) == (400, "false")
    refusal = setting.gateway.metered(setting.access).refusal
    assert refusal is not None
    assert refusal.is_unpaid
    setting.api.behaviour = json_answer(whole_message())
    await setting.ask()
    assert setting.gateway.metered(setting.access).refusal is None


@pytest.mark.parametrize("status", [400, 402, 403, 429])
@pytest.mark.parametrize("kind", ["text/html", "text/plain", ""])
async def test_no_credit_is_final_on_a_page_for_people_as_well(
    setting: Setting, status: int, kind: str
) -> None:
    setting.api.behaviour = gives(status, b"<html>Your credit balance is too low</html>", kind)
    answer = await setting.ask()

    assert (answer.status_code, answer.headers["x-should-retry"]) == (402, "false")
    refusal = setting.gateway.metered(setting.access).refusal
    assert refusal is not None
    assert refusal.is_unpaid
    assert f"answered {status}: Your credit balance is too low" in refusal.said


async def test_a_page_that_never_ends_is_not_waited_for(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anthropic, "LONGEST_PAGE", 1000)
    setting.api.behaviour = gives(403, b"x" * 2000 + b" credit balance", "text/plain")
    answer = await setting.ask()
    assert (answer.status_code, error_of(answer)) == (403, "api_error")


async def test_an_answer_that_tells_no_usage_is_told_of_once_and_costs_the_most(
    setting: Setting,
) -> None:
    told: list[EventData] = []

    async def hear(_: Metered, events: Sequence[EventData]) -> None:
        told.extend(events)

    access = setting.gateway.admit(RunId("run-2"), TASK, GENEROUS, tell=hear)
    setting.api.behaviour = json_answer({"type": "message", "model": MODEL, "content": []})
    with capture_logs() as lines:
        for _ in range(2):
            await setting.client.post(
                "/v1/messages", json=QUESTION, headers=setting.headers(access)
            )
    [(event, data)] = told
    assert event == "model.unmetered"
    assert data["output_tokens"] == QUESTION["max_tokens"]
    assert [line["names"] for line in lines if line["event"] == "gateway.no_usage"] == [[MODEL]]


async def test_an_answer_without_end_is_bounded(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anthropic, "LONGEST_ANSWER", 1000)
    setting.api.behaviour = gives(200, b'"' + b"x" * 2000 + b'"')
    assert (await setting.ask()).status_code == 502


async def test_a_stream_that_breaks_off_ends_with_an_error_event(setting: Setting) -> None:
    setting.api.behaviour = setting.api.breaks_off
    answer = await setting.ask()
    assert answer.text.startswith(START.decode())
    broken, last = answer.text.removesuffix("\n\n").rsplit("\n\n", 1)
    assert last.startswith("event: error\n")
    assert json.loads(last.partition("data: ")[2])["error"]["type"] == "api_error"
    assert '"type": "con' not in broken
    assert setting.gateway.metered(setting.access).errors == {502: 1}
    assert setting.gateway.usage(setting.access).input_tokens == 1000


async def test_silence_ends_in_a_timeout_that_is_worth_retrying() -> None:
    async with a_setting(IMPATIENT) as setting:
        setting.api.behaviour = setting.api.hangs
        answer = await setting.ask()
    assert (answer.status_code, error_of(answer)) == (504, "timeout_error")
    assert answer.headers["x-should-retry"] == "true"


async def test_an_api_that_is_not_there_is_worth_retrying(unused_tcp_port: int) -> None:
    upstream = AnthropicUpstream(f"http://127.0.0.1:{unused_tcp_port}", api_key=Secret(KEY))
    gateway = Gateway(upstream, redactor=Redactor())
    await gateway.start()
    access = gateway.admit(RunId("run-1"), TASK, GENEROUS)
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"x-api-key": access.token.reveal()}
        answer = await client.post(f"{access.url}/v1/messages", json=QUESTION, headers=headers)
    await gateway.close()
    assert (answer.status_code, error_of(answer)) == (502, "api_error")
    assert answer.headers["x-should-retry"] == "true"


async def test_a_client_that_goes_away_ends_the_call_upstream(setting: Setting) -> None:
    for behaviour in (setting.api.streams, setting.api.hangs):
        setting.api.abandoned.clear()
        setting.api.behaviour = behaviour
        with pytest.raises(httpx.TimeoutException):
            await setting.client.post(
                "/v1/messages", json=QUESTION, headers=setting.headers(), timeout=0.1
            )
        await asyncio.wait_for(setting.api.abandoned.wait(), 2)


# --- The end of a run ------------------------------------------------------------------------


async def test_dismissing_a_run_cuts_its_stream(setting: Setting) -> None:
    setting.api.behaviour = setting.api.streams
    other = setting.gateway.admit(RunId("run-2"), TASK, GENEROUS)
    async with setting.client.stream(
        "POST", "/v1/messages", json=QUESTION, headers=setting.headers()
    ) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        await setting.gateway.dismiss(setting.access)
        rest = b"".join([piece async for piece in pieces])
    assert b"authentication_error" in rest
    await asyncio.wait_for(setting.api.abandoned.wait(), 2)
    setting.api.behaviour = json_answer({})
    assert (await setting.ask(**setting.headers(other))).status_code == 200


async def test_dismissing_a_run_ends_a_call_that_waits(setting: Setting) -> None:
    setting.api.behaviour = setting.api.hangs
    asking = asyncio.create_task(setting.ask())
    await setting.api.has_been_asked(1)
    await setting.gateway.dismiss(setting.access)
    assert error_of(await asking) == "authentication_error"
    await asyncio.wait_for(setting.api.abandoned.wait(), 2)


async def test_a_run_that_is_cut_makes_no_call_any_more_and_is_charged_for_those_it_made(
    setting: Setting,
) -> None:
    await setting.ask()
    setting.api.behaviour = setting.api.hangs
    asking = asyncio.create_task(setting.ask())
    await setting.api.has_been_asked(2)
    setting.gateway.cut(setting.access)
    assert error_of(await asking) == "authentication_error"
    assert error_of(await setting.ask()) == "authentication_error"
    await setting.api.has_been_asked(2)
    assert (await setting.gateway.dismiss(setting.access)).metered.usage.turns == 2


async def test_closing_does_not_wait_for_open_streams(setting: Setting) -> None:
    setting.api.behaviour = setting.api.streams
    async with setting.client.stream(
        "POST", "/v1/messages", json=QUESTION, headers=setting.headers()
    ) as answer:
        await anext(answer.aiter_bytes())
        started = time.monotonic()
        await setting.gateway.close()
        assert time.monotonic() - started < 1
    with pytest.raises(httpx.ConnectError):
        await setting.ask()


# --- What it cost ----------------------------------------------------------------------------


async def test_streams_and_whole_answers_are_metered_alike(setting: Setting) -> None:
    setting.api.behaviour = setting.api.streams
    setting.api.go_on.set()
    await setting.ask()
    streamed = setting.gateway.usage(setting.access)
    told = whole_message(input_tokens=100, cache_read_input_tokens=900, output_tokens=50)
    setting.api.behaviour = json_answer(told)
    await setting.ask()
    stay = await setting.gateway.dismiss(setting.access)
    assert (streamed.turns, streamed.input_tokens, streamed.output_tokens) == (1, 1000, 50)
    both = stay.metered
    assert both.usage == streamed + streamed
    assert both.usage.cost_usd > 0
    assert (both.calls, both.errors, both.unpriced) == (2, {}, frozenset())
    assert both.slowest > 0


async def test_two_runs_at_once_do_not_mix_their_usage(setting: Setting) -> None:
    other = setting.gateway.admit(RunId("run-2"), TASK, GENEROUS)
    setting.api.behaviour = setting.api.streams
    asking = [
        asyncio.create_task(setting.ask(**setting.headers(access)))
        for access in (setting.access, other, other)
    ]
    await setting.api.has_been_asked(3)
    setting.api.go_on.set()
    await asyncio.gather(*asking)
    assert setting.gateway.usage(setting.access).turns == 1
    assert setting.gateway.usage(other).turns == 2
    assert setting.gateway.usage(other).input_tokens == 2000


# --- The canary ------------------------------------------------------------------------------


async def test_the_real_key_comes_back_in_no_answer_and_no_log(setting: Setting) -> None:
    echo = f'{{"error": "no such key: {KEY}"}}'.encode()
    echoed_stream = f"event: error\ndata: {KEY}\n\n".encode()
    with structlog.testing.capture_logs() as logged:
        for behaviour in (
            gives(401, echo, request_id=KEY),
            gives(200, echo),
            gives(200, echoed_stream, "text/event-stream"),
            gives(500, echo, f"text/{KEY}"),
            gives(307, echo, location=f"/{KEY}"),
            setting.api.breaks_off,
        ):
            setting.api.behaviour = behaviour
            answer = await setting.ask()
            assert KEY not in answer.text
            assert KEY not in str(answer.headers)
    assert len(setting.api.asked) == 6
    assert all(asked.headers["x-api-key"] == KEY for asked in setting.api.asked)
    assert logged
    assert KEY not in str(logged)


async def test_a_token_is_masked_while_it_is_worth_something(setting: Setting) -> None:
    token = setting.access.token.reveal()
    assert len(token) >= 43  # 256 bits in Base64
    assert setting.redactor(f"token {token}") == "token ***"
    await setting.gateway.dismiss(setting.access)
    assert setting.redactor(token) == token


async def test_a_private_authority_is_read_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AnthropicUpstream(
            "https://x.invalid", api_key=Secret(KEY), certificate_file=tmp_path / "no"
        )
