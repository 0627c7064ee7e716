"""Runs any agent: starts it in a box, reads what it does, watches the clocks, stops it.

Whatever happens in here, a cancellation included, no process of the agent is left when
`run_agent` is over.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from codebot.agent.home import forget_session, has_session, write_files
from codebot.agent.prompts import interrupted
from codebot.domain.agent_event import AgentEvent, Finished, Started, ToolCall, ToolResult
from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.environment import Workplace
from codebot.domain.outcome import AgentReport
from codebot.domain.ports import Agent, AgentJob, Box, Ended, Launch, Sandbox
from codebot.domain.task import TaskId
from codebot.errors import AgentMissing
from codebot.sandbox.room import on_room
from codebot.telemetry.lines import LineMasker

OnEvent = Callable[[AgentEvent], Awaitable[None]]

LONGEST_TOOL = timedelta(minutes=11)
"""Claude Code lets a command run for up to 10 minutes, silently; one more to stop it itself."""
HANG_AFTER_RESULT = timedelta(seconds=5)
"""Some versions never exit after their last word."""
INTERRUPT_GRACE = timedelta(seconds=5)
TERMINATE_GRACE = timedelta(seconds=3)
LAST_WORDS = timedelta(seconds=1)
"""For telling what a cancelled agent said while it was stopped."""
MOST_EVENTS = 1000
"""Events kept to judge the ending by: the last ones. A task's log keeps more."""


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """The wall clock of one round, and how long an agent may say nothing."""

    timeout: timedelta
    idle_timeout: timedelta


async def run_agent(
    agent: Agent,
    sandbox: Sandbox,
    job: AgentJob,
    *,
    task_id: TaskId,
    workplace: Workplace,
    limits: AgentLimits,
    on_event: OnEvent,
    on_stop: Callable[[], None] = lambda: None,
    redact: Callable[[str], str] = str,
) -> AgentReport:
    """Let the agent work one round; raises the `AgentError` that names how it failed.

    `on_event` hears all that the agent does, in order; `on_stop` that it is asked to stop, which
    takes a while. `redact` masks secrets in its output before anything is cut from it: half a
    secret is still one. A session that is there is resumed, one that is lost is started anew with
    `job.opening` before the prompt, whatever `job.resume` expected. Raises `DiskFull` where the
    agent has no room to work, or failed when there was none left.
    """
    checkout = workplace.checkout

    async def launch(job: AgentJob) -> Ended:
        start = agent.launch(job)
        await asyncio.to_thread(write_files, checkout.home, start.files)
        box = await _start(sandbox, start, task_id, workplace, limits)
        return await _Watch(agent, box, limits, on_event, on_stop, redact).to_the_end()

    pattern = agent.session(job)
    resumable = await asyncio.to_thread(has_session, checkout.home, pattern)
    job = _continued(job) if resumable else _anew(job)
    with on_room(sandbox, checkout.tree):
        ended = await launch(job)
        if job.resume and _ended_before_it_started(ended):
            await asyncio.to_thread(forget_session, checkout.home, pattern)
            job = _anew(job)
            ended = await launch(job)
        return agent.judge(job, ended)


def _continued(job: AgentJob) -> AgentJob:
    """Go on; when nobody knew of the session, the service died while the agent worked."""
    return job if job.resume else replace(job, resume=True, prompt=interrupted(job.prompt))


def _anew(job: AgentJob) -> AgentJob:
    """Start over; an agent that expected to go on has to be told first what this is about."""
    told = (job.opening, job.prompt) if job.resume else (job.prompt,)
    return replace(job, resume=False, prompt="\n\n".join(filter(None, told)))


def _ended_before_it_started(ended: Ended) -> bool:
    """Say whether the agent gave up on its session: a file that a crash cut off is no session."""
    kinds = {type(event) for event in ended.events}
    return Finished in kinds and Started not in kinds


async def _start(
    sandbox: Sandbox,
    start: Launch,
    task_id: TaskId,
    workplace: Workplace,
    limits: AgentLimits,
) -> Box:
    checkout, environment = workplace.checkout, workplace.environment
    spec = BoxSpec(
        task_id=task_id,
        argv=start.argv,
        workspace=checkout.tree,
        home=checkout.home,
        layers=checkout.layers,
        home_layers=checkout.home_layers,
        network=Network.MODEL,
        # The runner's own clock stops the agent gently; the box's is for a runner that hangs.
        timeout=limits.timeout + 2 * (INTERRUPT_GRACE + TERMINATE_GRACE),
        env={**environment.variables_of_agents, **start.env},
        path=environment.search_path(sandbox.paths(checkout.tree, checkout.home)),
        stdin=start.stdin,
        # The agent's `.git` borrows its objects from the mirror.
        read_only=(*start.read_only, checkout.mirror),
    )
    try:
        return await sandbox.start(spec)
    except FileNotFoundError as exc:
        raise AgentMissing(f"There is no program {start.argv[0]}.", hint="Install it.") from exc


class _Stop(Enum):
    """Why the runner stops an agent."""

    TIMEOUT = auto()
    IDLE = auto()
    HUNG = auto()


class _Watch:
    """One running agent: its box, what it has done, and the clocks."""

    def __init__(
        self,
        agent: Agent,
        box: Box,
        limits: AgentLimits,
        on_event: OnEvent,
        on_stop: Callable[[], None],
        redact: Callable[[str], str],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._agent, self._box, self._limits = agent, box, limits
        self._on_event, self._on_stop, self._redact = on_event, on_stop, redact
        self._mask_line = LineMasker(redact)
        self._events: deque[AgentEvent] = deque(maxlen=MOST_EVENTS)
        self._running_tools: set[str] = set()
        self._last_word: asyncio.Future[None] = self._loop.create_future()
        self._started = self._last_heard = self._loop.time()
        self._whole_life = asyncio.create_task(self._read())

    async def to_the_end(self) -> Ended:
        """Give the ending, after stopping the agent when a clock ran out."""
        try:
            stopped = await self._wait_for_end_or_alarm()
            if stopped is not None:
                await self._stop()
            return self._ended(await self._whole_life, stopped)
        except asyncio.CancelledError:
            await self._stop()
            await asyncio.wait({self._whole_life}, timeout=LAST_WORDS.total_seconds())
            raise
        finally:
            await self._box.kill()
            self._whole_life.cancel()
            await asyncio.gather(self._whole_life, return_exceptions=True)

    async def _read(self) -> Exit:
        """Tell everybody what the agent prints, to the end of its box."""
        async for line in self._box.stdout():
            self._last_heard = self._loop.time()
            for event in self._agent.parse(await self._masked(line)):
                self._note(event)
                await self._on_event(event)
        return await self._box.wait()

    async def _masked(self, line: bytes) -> bytes:
        """Mask the secrets in a line: a long one in pieces, so that others get their turn."""
        pieces = []
        for piece in self._mask_line(line.decode(errors="replace")):
            pieces.append(piece)
            await asyncio.sleep(0)
        return "".join(pieces).encode()

    def _note(self, event: AgentEvent) -> None:
        self._events.append(event)
        match event:
            case ToolCall(call_id=call_id):
                self._running_tools.add(call_id)
            case ToolResult(call_id=call_id):
                self._running_tools.discard(call_id)
            case Finished() if not self._last_word.done():
                self._last_word.set_result(None)

    async def _wait_for_end_or_alarm(self) -> _Stop | None:
        """Wait for the agent to end by itself; else say which clock ran out."""
        news: set[asyncio.Future[Any]] = {self._whole_life, self._last_word}
        while not any(one.done() for one in news):
            why, when = self._next_alarm()
            left = when - self._loop.time()
            if left <= 0:
                return why
            await asyncio.wait(news, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait({self._whole_life}, timeout=HANG_AFTER_RESULT.total_seconds())
        return None if done else _Stop.HUNG

    def _next_alarm(self) -> tuple[_Stop, float]:
        """Say which clock runs out next, and when; a tool that runs may be silent for longer."""
        silence = self._limits.idle_timeout
        if self._running_tools:
            silence = max(silence, LONGEST_TOOL)
        idle = self._last_heard + silence.total_seconds()
        wall = self._started + self._limits.timeout.total_seconds()
        return (_Stop.IDLE, idle) if idle < wall else (_Stop.TIMEOUT, wall)

    async def _stop(self) -> None:
        """Interrupt (which keeps the session), then terminate, then kill."""
        self._on_stop()
        over = asyncio.ensure_future(self._box.wait())
        for send, grace in (
            (self._box.interrupt, INTERRUPT_GRACE),
            (self._box.terminate, TERMINATE_GRACE),
        ):
            await send()
            await asyncio.wait({over}, timeout=grace.total_seconds())
            if over.done():
                return
        await self._box.kill()

    def _ended(self, how: Exit, stopped: _Stop | None) -> Ended:
        return Ended(
            exit=Exit(ExitReason.TIMEOUT, how.code) if stopped is _Stop.TIMEOUT else how,
            duration=timedelta(seconds=self._loop.time() - self._started),
            events=tuple(self._events),
            stderr_tail=self._redact(self._box.stderr_tail()),
            idle=stopped is _Stop.IDLE,
        )
