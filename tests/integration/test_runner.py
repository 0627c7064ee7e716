"""Agents that misbehave in every way that was seen, as real processes under the real runner."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from codebot.agent import runner
from codebot.agent.claude import ClaudeAgent
from codebot.agent.command import CommandAgent
from codebot.agent.runner import AgentLimits, run_agent
from codebot.agent.texts import LONGEST_TEXT
from codebot.domain.agent_event import AgentEvent, Ending, Finished, Said
from codebot.domain.environment import NO_ENVIRONMENT, Workplace
from codebot.domain.outcome import AgentOutcome, AgentReport, Checkout
from codebot.domain.ports import Agent
from codebot.domain.task import TaskId
from codebot.errors import AgentCrashed, AgentMissing, AgentTimedOut, RunLost, SandboxError
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.processes import read_process
from codebot.workspace.folders import delete_folder
from fakes.agents import SESSION, TOKEN, a_checkout, a_job, kinds
from fakes.deep import make_deep

PATH = "/usr/local/bin:/usr/bin:/bin"

INIT = json.dumps({"type": "system", "subtype": "init", "session_id": SESSION, "model": "m"})
RESULT = json.dumps(
    {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "structured_output": {"title": "T", "summary": "S", "commit_message": "C"},
    }
)
ABORTED = RESULT.replace('"is_error": false', '"is_error": true').replace("success", "error_x")
CALL = json.dumps(
    {
        "type": "assistant",
        "message": {"content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]},
    }
)

SAVES = f"""
trap 'echo "$LAST"; exit 0' INT
LAST='{ABORTED}'
echo "$INIT"
while :; do sleep 0.05; done
"""
"""Has a last word when it is interrupted, as Claude Code does."""

SECRET = "cAnArY-0123456789"

DAEMON = """
(setsid sh -c 'echo $$ > pid; sleep 60' >/dev/null 2>&1 &)
until test -s pid; do sleep 0.01; done
"""


@dataclass
class Desk:
    """Runs programs as agents and keeps what they said."""

    checkout: Checkout
    sandbox: DirectSandbox
    events: list[AgentEvent] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    slowness: float = 0
    stops: int = 0

    async def hear(self, event: AgentEvent) -> None:
        await asyncio.sleep(self.slowness)
        self.events.append(event)
        self.told.set()

    def hear_of_a_stop(self) -> None:
        self.stops += 1

    async def run(
        self, agent: Agent, *, wall: float = 20, idle: float = 20, **job: Any
    ) -> AgentReport:
        return await run_agent(
            agent,
            self.sandbox,
            a_job(paths=self.sandbox.paths(self.checkout.tree, self.checkout.home), **job),
            task_id=TaskId("task-1"),
            workplace=Workplace(self.checkout, NO_ENVIRONMENT),
            limits=AgentLimits(timedelta(seconds=wall), timedelta(seconds=idle)),
            on_event=self.hear,
            on_stop=self.hear_of_a_stop,
            redact=lambda text: text.replace(SECRET, "***"),
        )

    def claude(self, script: str) -> ClaudeAgent:
        """Make a program that stands in for Claude Code."""
        program = self.checkout.tree.parent / "claude"
        program.write_text(
            f"#!/bin/sh\nINIT='{INIT}'\nRESULT='{RESULT}'\nCALL='{CALL}'\n{script}\n"
        )
        program.chmod(0o755)
        return ClaudeAgent(program, path="")


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("HANG_AFTER_RESULT", "INTERRUPT_GRACE", "TERMINATE_GRACE"):
        monkeypatch.setattr(runner, name, timedelta(seconds=0.3))
    sandbox = DirectSandbox(path=PATH, mark=f"test-{tmp_path}")
    yield Desk(a_checkout(tmp_path), sandbox)
    assert await sandbox.reap() == 0, "an agent left processes behind"


def sh(script: str) -> CommandAgent:
    return CommandAgent(["sh", "-c", script])


async def test_an_agent_that_works_gives_its_report(desk: Desk) -> None:
    report = await desk.run(desk.claude('cat > prompt; echo "$INIT"; echo noise; echo "$RESULT"'))
    assert report.outcome is AgentOutcome.DONE
    assert (report.title, report.summary) == ("T", "S")
    assert kinds(desk.events) == ["Started", "Finished"]
    assert (desk.checkout.tree / "prompt").read_text() == "Say hello."
    assert (desk.checkout.home / ".codebot/instructions.md").read_text() == "Be brief."


async def test_a_command_is_an_agent_too(desk: Desk) -> None:
    report = await desk.run(sh("cat > said; echo one; echo two"))
    assert (report.closing_words, report.title) == ("two", "")
    assert desk.events == [Said("one"), Said("two")]


async def test_a_program_that_is_not_there_is_named(desk: Desk) -> None:
    with pytest.raises(AgentMissing, match="no-such-agent"):
        await desk.run(CommandAgent(["no-such-agent"]))


async def test_a_crash_tells_exit_code_and_last_words(desk: Desk) -> None:
    with pytest.raises(AgentCrashed, match=r"exit code 7 .*out of cheese"):
        await desk.run(desk.claude('echo "$INIT"; echo out of cheese >&2; exit 7'))


async def test_no_secret_is_cut_in_two_and_so_overlooked(desk: Desk) -> None:
    before = LONGEST_TEXT - 5
    script = f"head -c {before} /dev/zero | tr '\\0' x; echo {SECRET}"
    await desk.run(sh(script))
    assert isinstance(desk.events[0], Said)
    assert "cAnAr" not in desk.events[0].text

    flood = f"yes | head -c 5000 >&2; echo {SECRET} >&2; yes no | head -c 990 >&2; exit 3"
    with pytest.raises(AgentCrashed, match="Its last words") as crashed:
        await desk.run(sh(flood))
    assert "0123" not in crashed.value.detail


async def test_a_prompt_that_nobody_reads_blocks_nobody(desk: Desk) -> None:
    report = await desk.run(sh("exit 0"), prompt="x" * 5_000_000)
    assert report.outcome is AgentOutcome.DONE


async def test_a_line_of_twenty_megabytes_is_one_line(desk: Desk) -> None:
    report = await desk.run(sh("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo over"))
    assert report.closing_words == "over"
    assert len(desk.events) == 2
    assert isinstance(desk.events[0], Said)
    assert len(desk.events[0].text) < 100_000


async def test_a_silent_hang_is_idle(desk: Desk) -> None:
    with pytest.raises(AgentTimedOut, match="idle"):
        await desk.run(desk.claude('echo "$INIT"; sleep 60'), idle=0.3)


async def test_a_tool_that_runs_may_be_silent(desk: Desk) -> None:
    script = 'echo "$INIT"; echo "$CALL"; sleep 0.8; echo "$RESULT"'
    report = await desk.run(desk.claude(script), idle=0.2)
    assert report.outcome is AgentOutcome.DONE


async def test_a_tool_that_runs_too_long_is_idle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LONGEST_TOOL", timedelta(seconds=0.4))
    with pytest.raises(AgentTimedOut, match="idle"):
        await desk.run(desk.claude('echo "$CALL"; sleep 60'), idle=0.2)


async def test_talking_on_and_on_runs_into_the_wall_clock(desk: Desk) -> None:
    with pytest.raises(AgentTimedOut, match="time limit"):
        await desk.run(sh("while :; do echo hi; sleep 0.05; done"), wall=0.5)


async def test_a_flood_runs_into_the_wall_clock_as_well(desk: Desk) -> None:
    with pytest.raises((AgentTimedOut, AgentCrashed)):
        await desk.run(sh("exec yes"), wall=0.5)


async def test_an_agent_that_hangs_after_its_result_has_succeeded(desk: Desk) -> None:
    before = time.monotonic()
    report = await desk.run(desk.claude('echo "$INIT"; echo "$RESULT"; sleep 60'))
    assert report.outcome is AgentOutcome.DONE
    assert time.monotonic() - before < 5


async def test_an_interrupted_agent_still_has_its_last_word(desk: Desk) -> None:
    with pytest.raises(AgentTimedOut):
        await desk.run(desk.claude(SAVES), wall=0.4)
    last = desk.events[-1]
    assert isinstance(last, Finished)
    assert last.ending is Ending.ABORTED


async def test_an_agent_that_ignores_signals_is_killed(desk: Desk) -> None:
    with pytest.raises(AgentTimedOut):
        await desk.run(sh("trap '' INT TERM; echo up; while :; do sleep 0.05; done"), idle=0.3)


async def test_daemons_of_an_agent_end_with_it(desk: Desk) -> None:
    await desk.run(sh(DAEMON))
    daemon = read_process(int((desk.checkout.tree / "pid").read_text()))
    assert daemon is None or not daemon.is_alive


async def test_a_cancelled_run_leaves_no_process_and_hears_the_last_word(desk: Desk) -> None:
    desk.slowness = 0.2
    running = asyncio.create_task(desk.run(desk.claude(SAVES)))
    await asyncio.wait_for(desk.told.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert kinds(desk.events) == ["Started", "Finished"]
    assert await desk.sandbox.reap() == 0


async def test_a_cancelled_run_of_a_stubborn_agent_ends_within_its_graces(desk: Desk) -> None:
    script = "trap '' INT TERM; (setsid sleep 60 &); echo up; while :; do sleep 0.05; done"
    running = asyncio.create_task(desk.run(sh(script)))
    await asyncio.wait_for(desk.told.wait(), 5)
    before = time.monotonic()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert time.monotonic() - before < 0.3 + 0.3 + 1
    assert await desk.sandbox.reap() == 0


async def test_that_an_agent_shall_stop_is_heard_before_it_has(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INTERRUPT_GRACE", timedelta(seconds=60))
    running = asyncio.create_task(
        desk.run(sh("trap '' INT; echo up; while :; do sleep 0.05; done"))
    )
    await asyncio.wait_for(desk.told.wait(), 5)
    assert desk.stops == 0
    running.cancel()
    await asyncio.wait({running}, timeout=0.2)
    assert (desk.stops, running.done()) == (1, False)
    running.cancel()
    await asyncio.wait({running})


async def test_a_second_cancellation_kills_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INTERRUPT_GRACE", timedelta(seconds=60))
    running = asyncio.create_task(desk.run(sh("trap '' INT; echo up; sleep 60")))
    await asyncio.wait_for(desk.told.wait(), 5)
    running.cancel()
    await asyncio.wait({running}, timeout=0.2)
    assert not running.done()
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()
    assert await desk.sandbox.reap() == 0


async def test_a_listener_that_lost_its_run_stops_the_agent_at_once(desk: Desk) -> None:
    async def refuse(_: AgentEvent) -> None:
        raise RunLost("Somebody else has this run.")

    desk.hear = refuse  # type: ignore[method-assign]
    before = time.monotonic()
    with pytest.raises(RunLost):
        await desk.run(desk.claude('trap "" INT TERM; echo "$INIT"; exec sleep 60'))
    assert time.monotonic() - before < 2
    assert await desk.sandbox.reap() == 0


# --- Sessions --------------------------------------------------------------------------------

TELL = """
for a; do case $a in --resume=*|--session-id=*) echo "$a" >> flags;; esac; done
cat >> prompts
"""
STARTS = TELL + 'echo "$INIT"; echo "$RESULT"'


def flags(desk: Desk) -> list[str]:
    words = (desk.checkout.tree / "flags").read_text().split()
    return [word.removesuffix(f"={SESSION}") for word in words]


def prompts(desk: Desk) -> str:
    return (desk.checkout.tree / "prompts").read_text()


@pytest.fixture
def keep_session(desk: Desk) -> Callable[[], Path]:
    def keep() -> Path:
        path = desk.checkout.home / f".claude/projects/-tree/{SESSION}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("{}\n")
        return path

    return keep


async def test_a_session_that_is_there_is_resumed(
    desk: Desk, keep_session: Callable[[], Path]
) -> None:
    keep_session()
    await desk.run(desk.claude(STARTS), resume=True, prompt="Go on.", opening="The task.")
    assert (flags(desk), prompts(desk)) == (["--resume"], "Go on.")


async def test_a_lost_session_is_started_anew_and_told_the_task(desk: Desk) -> None:
    await desk.run(desk.claude(STARTS), resume=True, prompt="Go on.", opening="The task.")
    assert (flags(desk), prompts(desk)) == (["--session-id"], "The task.\n\nGo on.")


async def test_a_session_nobody_knew_of_is_gone_on_with(
    desk: Desk, keep_session: Callable[[], Path]
) -> None:
    keep_session()
    await desk.run(desk.claude(STARTS), prompt="The task.")
    assert flags(desk) == ["--resume"]
    assert "was restarted" in prompts(desk)
    assert "The task." in prompts(desk)


async def test_a_broken_session_is_dropped_and_started_anew(
    desk: Desk, keep_session: Callable[[], Path]
) -> None:
    path = keep_session()
    script = f"case $* in *--resume=*) {TELL}\necho '{ABORTED}'; exit 1;; esac\n{STARTS}"
    await desk.run(desk.claude(script), resume=True, prompt="Go on.", opening="The task.")
    assert flags(desk) == ["--resume", "--session-id"]
    assert prompts(desk) == "Go on.The task.\n\nGo on."
    assert not path.exists()


# --- A HOME that an earlier round prepared ---------------------------------------------------


@pytest.mark.parametrize(
    "trap", ["link to a folder", "link to a file", "folder", "deep folder", "fifo", "file"]
)
async def test_a_prepared_home_leads_no_write_astray(
    desk: Desk, trap: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "instructions.md").write_text("precious")
    folder = desk.checkout.home / ".codebot"
    request.addfinalizer(lambda: delete_folder(folder))  # pytest calls itself for every level
    match trap:
        case "link to a folder":
            folder.symlink_to(outside)
        case "file":
            folder.write_text("in the way")
        case "link to a file":
            folder.mkdir()
            (folder / "instructions.md").symlink_to(outside / "instructions.md")
        case "deep folder":
            make_deep(folder / "instructions.md", 2000)
        case "folder":
            (folder / "instructions.md" / "deep").mkdir(parents=True)
        case _:
            folder.mkdir()
            os.mkfifo(folder / "instructions.md")
    await desk.run(desk.claude('echo "$INIT"; echo "$RESULT"'))
    assert (outside / "instructions.md").read_text() == "precious"
    assert not folder.is_symlink()
    assert (folder / "instructions.md").read_text() == "Be brief."


async def test_a_session_that_cannot_be_looked_at_is_none(desk: Desk) -> None:
    folder = desk.checkout.home / ".claude/projects/-tree"
    folder.mkdir(parents=True)
    (folder / f"{SESSION}.jsonl").symlink_to("x" * 300)
    await desk.run(desk.claude(STARTS))
    assert flags(desk) == ["--session-id"]


async def test_a_home_that_is_gone_is_an_error_that_says_so(desk: Desk) -> None:
    desk.checkout.home.rmdir()
    with pytest.raises(SandboxError, match="HOME cannot be written"):
        await desk.run(desk.claude("exit 0"))


# --- Secrets ---------------------------------------------------------------------------------


async def test_an_agents_environment_holds_no_secret_but_its_token(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries = {
        name: f"canary-{name}"
        for name in ("ANTHROPIC_API_KEY", "GITHUB_TOKEN", "CODEBOT_API_KEYS", "AWS_SECRET", "HOME")
    }
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)
    await desk.run(sh("env; tr '\\0' '\\n' < /proc/self/environ; tr '\\0' ' ' < /proc/$$/cmdline"))
    said = "\n".join(event.text for event in desk.events if isinstance(event, Said))
    assert "canary" not in said
    assert said.count(f"ANTHROPIC_AUTH_TOKEN={TOKEN}") == 2
    assert said.count(TOKEN) == 2
