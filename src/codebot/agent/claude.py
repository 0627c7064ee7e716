"""Claude Code as the agent: how it is found, started, and its ending understood.

Every flag and variable was tried with 2.1.330 against repositories that plant hooks, servers and
settings: without `--setting-sources ''` and `--strict-mcp-config` those run, and may send the
token elsewhere. https://code.claude.com/docs/en/cli-reference
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from codebot.agent.endings import check_clocks, crash
from codebot.agent.refused import limited, unpaid
from codebot.agent.stream import parse_line
from codebot.agent.texts import one_line
from codebot.domain.agent_event import AgentEvent, Ending, Finished, Said
from codebot.domain.outcome import AgentOutcome, AgentReport, ModelRefusal, Usage
from codebot.domain.ports import AgentJob, Ended, Finding, Launch
from codebot.errors import (
    AgentCrashed,
    AgentError,
    AgentMissing,
    AgentUnauthorized,
)

INSTRUCTIONS = ".codebot/instructions.md"
"""Where the system prompt is kept below HOME: too long a text breaks a command line."""

TOOLS = "Bash,Edit,Read,Write"

RESULT_SCHEMA = {
    "type": "object",
    "properties": {
        "title": {
            "type": "string",
            "description": "The pull request's title: imperative, at most 70 characters.",
        },
        "summary": {
            "type": "string",
            "description": "What changed and why, for the reviewer, in Markdown.",
        },
        "commit_message": {
            "type": "string",
            "description": "Subject line, blank line, reasons, wrapped at 72 columns.",
        },
    },
    "required": ["title", "summary", "commit_message"],
    "additionalProperties": False,
}

LONGEST_CHECK = 20.0
LONGEST_SAID = 2000
"""Characters of what the model's side said: its reason is often at the end."""
LIMITS = frozenset({429, 503, 529})
"""The last is Anthropic's own for an overload: https://docs.claude.com/en/api/errors"""
PAYMENT_REQUIRED = 402
RETRY_BROKEN = timedelta(minutes=1)


class ClaudeAgent:
    """Drives the `claude` program without a terminal."""

    name = "claude"

    def __init__(self, program: Path | None, *, path: str) -> None:
        """Use this program; without one, `claude` on `path`, or the one of the extra `claude`."""
        self._program = program or _on_path(path) or _of_the_extra()
        self._is_given = program is not None

    async def check(self) -> Sequence[Finding]:
        """Ask the program for its version."""
        try:
            program = self._find()
            version = await asyncio.to_thread(_version_of, program)
        except AgentMissing as exc:
            return [Finding("agent", ok=False, detail=exc.detail, remedy=exc.hint)]
        return [Finding("agent", ok=True, detail=f"{program}: {version}")]

    def launch(self, job: AgentJob) -> Launch:
        """Say how to start it; raises `AgentMissing`."""
        program = self._find()
        env = {
            "CLAUDE_CONFIG_DIR": str(job.paths.home / ".claude"),
            "ANTHROPIC_AUTH_TOKEN": job.gateway.token.reveal(),
            "ANTHROPIC_BASE_URL": job.gateway.url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",  # allows root to skip permission prompts
        }
        return Launch(
            argv=(str(program), *_flags(job)),
            env=env,
            stdin=job.prompt.encode(errors="replace"),
            files={INSTRUCTIONS: job.instructions},
            read_only=(program,),
        )

    def session(self, job: AgentJob) -> str:
        """Say where the session is kept; the folder is named after the first working directory."""
        return f".claude/projects/*/{job.session_id}.jsonl"

    def parse(self, line: bytes) -> Sequence[AgentEvent]:
        """Read one line of stdout; unknown or broken lines give nothing."""
        return parse_line(line)

    def judge(self, job: AgentJob, ended: Ended) -> AgentReport:
        """Go by its own last word, not by its exit code, which says 0 for an abort."""
        last = next((e for e in reversed(ended.events) if isinstance(e, Finished)), None)
        if last is not None and last.ending is Ending.DONE:
            return _report(job, ended, last)
        if last is not None and last.ending is Ending.API_ERROR:
            raise _api_error(last)
        check_clocks(ended)
        raise crash(ended)

    def _find(self) -> Path:
        if self._program is None:
            raise AgentMissing(
                "There is no Claude Code on this machine.",
                hint="`pip install claude-agent-sdk` brings it; or set CODEBOT_CLAUDE_BIN.",
            )
        if not os.access(self._program, os.X_OK) or self._program.is_dir():
            hint = "Correct CODEBOT_CLAUDE_BIN." if self._is_given else "Install it again."
            raise AgentMissing(f"{self._program} is not a program.", hint=hint)
        return self._program


def _flags(job: AgentJob) -> list[str]:
    """Give the flags; caps are not among them, since the gateway holds those before each call."""
    return [
        "-p",
        "--output-format=stream-json",
        "--verbose",
        "--permission-mode=bypassPermissions",
        "--setting-sources=",
        "--strict-mcp-config",
        "--disable-slash-commands",
        f"--tools={TOOLS}",
        '--settings={"includeCoAuthoredBy":false}',
        f"--json-schema={json.dumps(RESULT_SCHEMA)}",
        f"--append-system-prompt-file={job.paths.home / INSTRUCTIONS}",
        f"--resume={job.session_id}" if job.resume else f"--session-id={job.session_id}",
        *([f"--model={job.model}"] if job.model else []),
    ]


def _report(job: AgentJob, ended: Ended, last: Finished) -> AgentReport:
    said = [event.text for event in ended.events if isinstance(event, Said)]
    return AgentReport(
        outcome=AgentOutcome.DONE,
        session_id=job.session_id,
        title=last.title,
        summary=last.summary,
        commit_message=last.commit_message,
        closing_words=last.text or (said[-1] if said else ""),
        usage=Usage(),
        duration=ended.duration,
    )


def _api_error(last: Finished) -> AgentError:
    """Name what the model's side said, after the agent's own retries."""
    status = last.api_status
    said = one_line(last.text, LONGEST_SAID)
    if status in {401, 403}:
        return AgentUnauthorized(
            f"The model refused the credential ({status}).",
            hint="Check ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) and what it may use.",
        )
    if status in LIMITS:
        return limited(status)
    if status == PAYMENT_REQUIRED:
        return unpaid(ModelRefusal(status, is_unpaid=True, said=said))
    if status is None:
        return AgentCrashed(f"The model did not answer: {said}", retry_after=RETRY_BROKEN)
    broken = status >= 500  # noqa: PLR2004 - the server's own faults, in HTTP
    return AgentCrashed(
        f"The model answered with an error ({status}): {said}",
        hint="" if broken else "Check CODEBOT_MODEL and ANTHROPIC_BASE_URL.",
        retry_after=RETRY_BROKEN if broken else None,
    )


def _on_path(path: str) -> Path | None:
    found = shutil.which("claude", path=path)
    return Path(found) if found else None


def _of_the_extra() -> Path | None:
    """Find the program that the extra brings, without importing its package (1 s)."""
    spec = find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "_bundled" / "claude"
    return program if program.exists() else None


def _version_of(program: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the program that is run for every task
            [program, "--version"],
            capture_output=True,
            check=True,
            env={"DISABLE_AUTOUPDATER": "1"},
            timeout=LONGEST_CHECK,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise AgentMissing(f"{program} does not run: {exc}", hint="Install it again.") from exc
    return one_line(done.stdout.decode(errors="replace"))
