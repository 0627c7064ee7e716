"""Jobs and endings for agents, complete with everything a test does not care about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from codebot.domain.agent_event import AgentEvent, Ending, Finished
from codebot.domain.box import BoxPaths, Exit, ExitReason
from codebot.domain.outcome import Checkout
from codebot.domain.ports import AgentJob, Ended, GatewayAccess
from codebot.domain.secret import Secret

SESSION = "019a0000-0000-7000-8000-000000000001"
TOKEN = "per-run-token"


def a_job(**changes: Any) -> AgentJob:
    job = AgentJob(
        prompt="Say hello.",
        instructions="Be brief.",
        session_id=SESSION,
        resume=False,
        model=None,
        gateway=GatewayAccess("http://127.0.0.1:9", Secret(TOKEN)),
        paths=BoxPaths(Path("/task/tree"), Path("/task/home")),
    )
    return replace(job, **changes)


def an_ending(*events: AgentEvent, **changes: Any) -> Ended:
    ended = Ended(
        exit=Exit(ExitReason.EXITED, 0),
        duration=timedelta(seconds=90),
        events=events,
        stderr_tail="",
        idle=False,
    )
    return replace(ended, **changes)


def a_last_word(ending: Ending = Ending.DONE, **changes: Any) -> Finished:
    last = Finished(
        ending=ending,
        api_status=None,
        text="",
        title="A title",
        summary="A summary",
        commit_message="A message",
    )
    return replace(last, **changes)


def a_checkout(folder: Path) -> Checkout:
    """Make a tree and a HOME below `folder`; no git in them, no runner looks for any."""
    tree, home = folder / "tree", folder / "home"
    tree.mkdir(parents=True)
    home.mkdir()
    return Checkout(
        tree=tree,
        home=home,
        repository=folder / "repository.git",
        mirror=folder / "mirror.git",
        base_branch="main",
        base_commit="0" * 40,
    )


def kinds(events: Sequence[AgentEvent]) -> list[str]:
    return [type(event).__name__ for event in events]
