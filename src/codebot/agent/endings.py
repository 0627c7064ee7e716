"""Endings that mean the same for every agent: stopped by a clock, or by a limit of its box."""

from codebot.agent.texts import tail_of
from codebot.domain.bounds import bound_reached
from codebot.domain.box import ExitReason
from codebot.domain.ports import Ended
from codebot.errors import AgentCrashed, AgentTimedOut

LONGEST_STDERR = 1000

LIMITS = {
    ExitReason.OUTPUT: "printed more than it may",
    ExitReason.MEMORY: "ran out of memory",
    ExitReason.DISK: "ran out of disk space",
}


def check_clocks(ended: Ended) -> None:
    """Raise `AgentTimedOut` when the runner had to stop the agent."""
    minutes = f"{ended.duration.total_seconds() / 60:.1f} minutes"
    if ended.idle:
        raise AgentTimedOut(
            f"The agent was stopped after {minutes}: it had been idle for too long.",
            hint="Try again, or raise CODEBOT_AGENT_IDLE_TIMEOUT.",
        )
    if ended.exit.reason is ExitReason.TIMEOUT:
        raise AgentTimedOut(
            f"The agent was stopped after {minutes}, its time limit.",
            hint="Make the task smaller, or raise CODEBOT_AGENT_TIMEOUT.",
        )


def crash(ended: Ended) -> AgentCrashed:
    """Give the error for an agent that ended without saying how: exit code and last words."""
    limit = LIMITS.get(ended.exit.reason)
    code = ended.exit.code
    how = limit or (f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}")
    bound = bound_reached(ended.exit, ended.stderr_tail)
    how = f"{bound} and {how}" if bound else how
    last_words = " ".join(tail_of(ended.stderr_tail.strip(), LONGEST_STDERR).split())
    said = f" Its last words: {last_words}" if last_words else ""
    return AgentCrashed(f"The agent {how} without a result.{said}", hint="See the task's log.")
