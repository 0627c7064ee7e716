"""Any program as an agent: the prompt on its stdin, its exit code as the outcome."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from codebot.agent.endings import check_clocks, crash
from codebot.agent.texts import clip
from codebot.domain.agent_event import AgentEvent, Said
from codebot.domain.box import Exit, ExitReason
from codebot.domain.outcome import AgentOutcome, AgentReport, Usage
from codebot.domain.ports import AgentJob, Ended, Finding, Launch


class CommandAgent:
    """Runs `argv` in the workspace; what it prints is what it says.

    It finds the model, should it need one, by ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN, which
    the clients of Anthropic's API know.
    """

    name = "command"

    def __init__(self, argv: Sequence[str]) -> None:
        """Run this program with these arguments."""
        self._argv = tuple(argv)

    async def check(self) -> Sequence[Finding]:
        """Say whether the program is there."""
        program = self._argv[0]
        found = shutil.which(program)
        if found is None:
            remedy = "Name a program that is there."
            return [Finding("agent", ok=False, detail=f"There is no {program}.", remedy=remedy)]
        return [Finding("agent", ok=True, detail=f"{found} (a command)")]

    def launch(self, job: AgentJob) -> Launch:
        """Start it with instructions and prompt on stdin."""
        prompt = f"{job.instructions}\n\n{job.prompt}" if job.instructions else job.prompt
        env = {
            "ANTHROPIC_AUTH_TOKEN": job.gateway.token.reveal(),
            "ANTHROPIC_BASE_URL": job.gateway.url,
        }
        return Launch(
            argv=self._argv,
            env=env,
            stdin=prompt.encode(errors="replace"),
            files={},
            # What the operator's command line names is part of the agent: a box must show it.
            read_only=tuple(Path(word) for word in self._argv if _is_there(word)),
        )

    def session(self, job: AgentJob) -> str:  # noqa: ARG002 - as the protocol has it
        """Say that it keeps no sessions."""
        return ""

    def parse(self, line: bytes) -> Sequence[AgentEvent]:
        """Take each line that is not blank for something said."""
        text = line.decode(errors="replace").rstrip()
        return (Said(clip(text)),) if text else ()

    def judge(self, job: AgentJob, ended: Ended) -> AgentReport:
        """Say that exit code 0 is done; raise `AgentTimedOut` or `AgentCrashed` for the rest."""
        check_clocks(ended)
        if ended.exit != Exit(ExitReason.EXITED, 0):
            raise crash(ended)
        said = [event.text for event in ended.events if isinstance(event, Said)]
        return AgentReport(
            outcome=AgentOutcome.DONE,
            session_id=job.session_id,
            title="",
            summary="",
            commit_message="",
            closing_words=said[-1] if said else "",
            usage=Usage(),
            duration=ended.duration,
        )


def _is_there(word: str) -> bool:
    return word.startswith("/") and "\0" not in word and os.path.lexists(word)
