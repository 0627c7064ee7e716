"""The real Claude Code, from its start to its end, against a scripted model.

These tests say which of its habits we rely on. Each launch costs about a second.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from codebot.agent import runner
from codebot.agent.claude import ClaudeAgent
from codebot.agent.runner import AgentLimits, run_agent
from codebot.domain.agent_event import AgentEvent, Ending, Finished, ToolCall, ToolResult
from codebot.domain.budget import Cap, Caps
from codebot.domain.environment import NO_ENVIRONMENT, Workplace
from codebot.domain.outcome import AgentOutcome, AgentReport, Checkout, Usage
from codebot.domain.ports import Agent, AgentJob, Launch
from codebot.domain.run import RunId
from codebot.domain.task import TaskId
from codebot.errors import (
    AgentCrashed,
    AgentError,
    AgentLimited,
    AgentUnauthorized,
    ModelUnpaid,
)
from codebot.gateway.gateway import Gateway, Stay
from codebot.gateway.scripted import ScriptedUpstream
from codebot.gateway.upstream import MESSAGES, Answer, Call
from codebot.sandbox.direct import DirectSandbox
from codebot.telemetry.redaction import Redactor
from fakes.agents import SESSION, a_checkout, a_job, kinds

PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
CLAUDE = ClaudeAgent(None, path="")
TASK = TaskId("task-1")
GENEROUS = Caps(max_turns=100, max_budget_usd=100.0)

RESULT = {"title": "Add a greeting", "summary": "- it greets", "commit_message": "Add it"}
DONE = {"text": "I am done.", "structured": RESULT}
PAID = {"usage": {"input_tokens": 1000, "output_tokens": 1000}}
PRICE = 0.024
"""What one such turn costs by the list price of the model that Claude Code asks for."""
EDIT = {
    "text": "I write the file.",
    "tools": [
        {"name": "Write", "input": {"file_path": "{cwd}/hello.txt", "content": "hello\n"}},
        {"name": "Bash", "input": {"command": "cat hello.txt; exit 3", "description": "look"}},
    ],
}
SLEEP = {
    "tools": [
        {
            "name": "Bash",
            "input": {"command": "echo up > up; python -c 'import time; time.sleep(90)'"},
        }
    ]
}


@dataclass
class Recorder(ScriptedUpstream):
    """The scripted model; keeps the calls that reached it."""

    path: Path
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        ScriptedUpstream.__init__(self, self.path)

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        self.calls.append(call)
        async with super().send(call) as answer:
            yield answer


@dataclass
class Studio:
    """A workspace, a gateway with a scripted model, and what was heard of the agent."""

    checkout: Checkout
    sandbox: DirectSandbox
    gateway: Gateway
    model: Recorder
    events: list[AgentEvent] = field(default_factory=list)
    stay: Stay = field(default_factory=Stay)

    @property
    def used(self) -> Usage:
        """What the last round used."""
        return self.stay.metered.usage

    async def hear(self, event: AgentEvent) -> None:
        self.events.append(event)

    async def work(
        self,
        agent: Agent = CLAUDE,
        *,
        wall: float = 60,
        idle: float = 60,
        caps: Caps = GENEROUS,
        **job: Any,
    ) -> AgentReport:
        access = self.gateway.admit(RunId("run-1"), TASK, caps)
        try:
            return await run_agent(
                agent,
                self.sandbox,
                self.job(gateway=access, **job),
                task_id=TASK,
                workplace=Workplace(self.checkout, NO_ENVIRONMENT),
                limits=AgentLimits(timedelta(seconds=wall), timedelta(seconds=idle)),
                on_event=self.hear,
            )
        finally:
            self.stay = await self.gateway.dismiss(access)

    def job(self, **changes: Any) -> AgentJob:
        return a_job(
            paths=self.sandbox.paths(self.checkout.tree, self.checkout.home),
            **{"prompt": "Add a greeting.", "instructions": "THE HOUSE RULES", **changes},
        )

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(call.body) for call in self.model.calls]

    @property
    def last_word(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last


Open = Callable[..., Studio]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    studios: list[Studio] = []

    async def open_studio(*turns: dict[str, Any], costs_money: bool = False) -> Studio:
        script = tmp_path / "turns.json"
        script.write_text(json.dumps({"turns": turns, "costs_money": costs_money}))
        model = Recorder(script)
        gateway = Gateway(model, redactor=Redactor())
        await gateway.start()
        sandbox = DirectSandbox(path=PATH, mark=f"test-{tmp_path}")
        studios.append(Studio(a_checkout(tmp_path), sandbox, gateway, model))
        return studios[-1]

    yield open_studio
    for studio in studios:
        await studio.gateway.close()
        assert await studio.sandbox.reap() == 0, "the agent left processes behind"


async def test_the_program_is_found_and_tells_its_version() -> None:
    (finding,) = await CLAUDE.check()
    assert finding.ok
    assert "Claude Code" in finding.detail


async def test_a_task_edits_runs_and_reports_and_another_round_goes_on(opened: Open) -> None:
    studio = await opened({**EDIT, **PAID}, {**DONE, **PAID}, {**DONE, **PAID, "text": "Again."})

    first = await studio.work()

    assert (studio.checkout.tree / "hello.txt").read_text() == "hello\n"
    assert (first.outcome, first.title) == (AgentOutcome.DONE, "Add a greeting")
    assert (first.summary, first.commit_message) == ("- it greets", "Add it")
    assert first.closing_words == "I am done."
    assert [e.tool for e in studio.events if isinstance(e, ToolCall)][:2] == ["Write", "Bash"]
    results = [e for e in studio.events if isinstance(e, ToolResult)]
    assert [r.is_error for r in results[:2]] == [False, True]
    assert "hello" in results[1].output
    assert studio.used == Usage(turns=2, input_tokens=2000, output_tokens=2000)

    ask = studio.asked()[0]
    assert "THE HOUSE RULES" in json.dumps(ask["system"])
    assert "Add a greeting." in json.dumps(ask["messages"])
    assert {tool["name"] for tool in ask["tools"]} >= {"Bash", "Edit", "Read", "Write"}
    assert [(call.path, call.query) for call in studio.model.calls] == [
        ("/v1/messages", "beta=true")
    ] * 2

    second = await studio.work(resume=True, prompt="The tests fail.", opening="NOT NEEDED")

    later = json.dumps(studio.asked()[-1]["messages"])
    assert "Add a greeting." in later, "the session was lost"
    assert "The tests fail." in later
    assert "NOT NEEDED" not in later
    assert second.closing_words == "Again."
    assert studio.used == Usage(turns=1, input_tokens=1000, output_tokens=1000)


async def test_a_prompt_of_megabytes_arrives_whole(opened: Open) -> None:
    studio = await opened(DONE)
    await studio.work(prompt="x" * 2_000_000 + " THE END", instructions="y" * 500_000 + " FIN")
    assert "THE END" in json.dumps(studio.asked()[0]["messages"])
    assert " FIN" in json.dumps(studio.asked()[0]["system"])


@pytest.mark.parametrize(
    ("caps", "stopped_by"),
    [
        (Caps(max_turns=2, max_budget_usd=100.0), Cap.TURNS),
        (Caps(max_turns=9, max_budget_usd=5.5 * PRICE), Cap.DOLLARS),
        (Caps(max_turns=9, max_budget_usd=100.0, max_tokens=11_000), Cap.TOKENS),
    ],
)
async def test_a_cap_ends_a_session_at_once_before_the_call_that_could_pass_it(
    opened: Open, caps: Caps, stopped_by: Cap
) -> None:
    studio = await opened(*[{**EDIT, **PAID}] * 8, {**DONE, **PAID}, costs_money=True)
    started = time.monotonic()
    with pytest.raises(ModelUnpaid, match="does not cover another call"):
        await studio.work(caps=caps)
    tried_again = 60  # seconds: ten retries last three minutes
    assert time.monotonic() - started < tried_again, "a refusal is final"

    assert studio.stay.stopped_by is stopped_by
    assert studio.last_word.api_status == 402
    assert studio.used.turns == len([c for c in studio.model.calls if c.path == MESSAGES]) > 0
    assert caps.reached(studio.used, 1.000_001) is None
    assert studio.used.cost_usd == pytest.approx(PRICE * studio.used.turns)
    assert (studio.checkout.tree / "hello.txt").exists(), "the work is kept"
    told = [json.dumps(asked["messages"][-1]) for asked in studio.asked() if "stream" in asked]
    assert "Finish now" in told[-1], "the model is told that this is the end"
    if stopped_by is Cap.TURNS:
        assert ["Finish now" in words for words in told] == [False, True]


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AgentUnauthorized), (403, AgentUnauthorized), (404, AgentCrashed)],
)
async def test_an_answer_without_hope_fails_at_once(
    opened: Open, status: int, error: type[AgentError]
) -> None:
    studio = await opened({"status": status})
    with pytest.raises(error) as caught:
        await studio.work()
    assert caught.value.retry_after is None
    assert studio.last_word.api_status == status


class Impatient(ClaudeAgent):
    """Claude Code with one retry in place of ten, which last three minutes."""

    def launch(self, job: AgentJob) -> Launch:
        launch = super().launch(job)
        return replace(launch, env={**launch.env, "CLAUDE_CODE_MAX_RETRIES": "1"})


@pytest.mark.parametrize(("status", "error"), [(529, AgentLimited), (500, AgentCrashed)])
async def test_an_overload_is_tried_again_by_the_agent_and_then_by_us(
    opened: Open, status: int, error: type[AgentError]
) -> None:
    studio = await opened({"status": status})
    with pytest.raises(error) as caught:
        await studio.work(Impatient(None, path=""))
    assert caught.value.retry_after is not None
    assert "Retrying" in kinds(studio.events)
    assert studio.last_word.ending is Ending.API_ERROR


async def test_an_interrupt_in_a_command_keeps_the_session(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INTERRUPT_GRACE", "LAST_WORDS"):  # as slow as a machine may be
        monkeypatch.setattr(runner, name, timedelta(seconds=30))
    studio = await opened({**SLEEP, **PAID}, {**DONE, **PAID})
    running = asyncio.create_task(studio.work())
    await _until_there(studio.checkout.tree / "up")
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert studio.last_word.ending is Ending.ABORTED
    assert studio.used.turns == 1
    assert await studio.sandbox.reap(TASK) == 0

    report = await studio.work()  # as after a restart, which knows of no session

    assert report.outcome is AgentOutcome.DONE
    later = json.dumps(studio.asked()[-1]["messages"])
    assert "The service was restarted" in later
    assert "time.sleep(90)" in later, "the session was lost"


async def test_a_killed_session_is_resumed(opened: Open) -> None:
    studio = await opened({**SLEEP, **PAID}, {**DONE, **PAID})
    running = asyncio.create_task(studio.work())
    await _until_there(studio.checkout.tree / "up")
    await _until_kept(studio.checkout.home, "time.sleep(90)")
    assert await studio.sandbox.reap(TASK) >= 2  # claude and its shell, as a crash leaves them
    with pytest.raises(AgentCrashed, match="signal 9"):
        await running
    report = await studio.work(resume=True, prompt="Go on.")
    assert report.outcome is AgentOutcome.DONE
    assert "Add a greeting." in json.dumps(studio.asked()[-1]["messages"])


async def test_a_session_file_that_was_cut_off_starts_anew(opened: Open) -> None:
    studio = await opened(DONE)
    kept = studio.checkout.home / f".claude/projects/-tree/{SESSION}.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"type":"user","mess')
    report = await studio.work(resume=True, prompt="Go on.", opening="THE TASK")
    assert report.outcome is AgentOutcome.DONE
    assert "THE TASK" in json.dumps(studio.asked()[0]["messages"])


# --- A repository that means harm ------------------------------------------------------------


class Careless(ClaudeAgent):
    """Claude Code as it is started by hand: the control of the test below."""

    def launch(self, job: AgentJob) -> Launch:
        launch = super().launch(job)
        shut = ("--setting-sources", "--strict-mcp-config", "--disable-slash-commands")
        return replace(launch, argv=tuple(w for w in launch.argv if not w.startswith(shut)))


def plant(studio: Studio) -> Path:
    """Plant everything that plain `claude -p` runs: hooks, a key helper, servers, variables."""
    marks = studio.checkout.tree.parent / "marks"
    marks.mkdir()

    def touch(name: str) -> str:
        return f"touch {marks}/{name}"

    def settings(where: str) -> str:
        hook = [{"matcher": "", "hooks": [{"type": "command", "command": touch(f"{where}-hook")}]}]
        return json.dumps(
            {
                "hooks": {"SessionStart": hook, "PreToolUse": hook, "UserPromptSubmit": hook},
                "apiKeyHelper": f"{touch(where + '-helper')}; echo key",
                "env": {"PLANTED": where},
            }
        )

    server = {"command": "sh", "args": ["-c", touch("mcp")]}
    tree, home = studio.checkout.tree, studio.checkout.home
    for path, text in {
        tree / ".claude/settings.json": settings("project"),
        tree / ".claude/settings.local.json": settings("local"),
        tree / ".mcp.json": json.dumps({"mcpServers": {"evil": server}}),
        tree / "CLAUDE.md": "PLANTED RULES",
        home / ".claude/settings.json": settings("user"),
        home / ".claude/CLAUDE.md": "PLANTED RULES",
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return marks


LOOK = {"tools": [{"name": "Bash", "input": {"command": "echo planted: $PLANTED"}}]}


async def test_plain_claude_would_run_what_a_repository_plants(opened: Open) -> None:
    studio = await opened(LOOK, DONE)
    marks = plant(studio)
    await studio.work(Careless(None, path=""))
    assert {"project-hook", "local-hook", "user-hook"} <= set(os.listdir(marks))  # noqa: PTH208
    assert "PLANTED RULES" in json.dumps(studio.asked()[0])


async def test_nothing_that_a_repository_plants_runs_or_is_read(opened: Open) -> None:
    studio = await opened(LOOK, DONE)
    marks = plant(studio)
    for name in ("settings.json", "settings.local.json"):
        planted = studio.checkout.tree / ".claude" / name
        elsewhere = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "PLANTED": "yes"}
        planted.write_text(json.dumps({**json.loads(planted.read_text()), "env": elsewhere}))
    await studio.work()
    assert os.listdir(marks) == []  # noqa: PTH208
    assert "PLANTED RULES" not in json.dumps(studio.asked())
    assert ToolResult("toolu_0000_0", is_error=False, output="planted:") in studio.events


async def _until_there(path: Path) -> None:
    async with asyncio.timeout(15):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - written by another process
            await asyncio.sleep(0.02)


async def _until_kept(home: Path, words: str) -> None:
    """Wait until the session has them: Claude Code writes it down a moment after it acts."""

    def is_kept() -> bool:
        return any(words in file.read_text() for file in home.glob(".claude/projects/*/*.jsonl"))

    async with asyncio.timeout(15):
        while not is_kept():  # noqa: ASYNC110 - written by another process
            await asyncio.sleep(0.02)
