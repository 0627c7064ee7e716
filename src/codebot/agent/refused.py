"""What an agent's failure is when the model had refused it: the reason goes first."""

from datetime import timedelta

from codebot.domain.outcome import ModelRefusal
from codebot.errors import AgentCrashed, AgentError, AgentLimited, ModelUnpaid

RETRY_LIMITED = timedelta(minutes=5)
"""When a limit that names no time is worth another try."""


def by_its_reason(error: AgentError, refusal: ModelRefusal | None) -> AgentError:
    """Give the error that names why the agent failed; agents have many words for one refusal."""
    if refusal is None or not isinstance(error, AgentCrashed | AgentLimited):
        return error
    return unpaid(refusal) if refusal.is_unpaid else limited(refusal.status, refusal.pause)


def unpaid(refusal: ModelRefusal) -> ModelUnpaid:
    """Give the error for a model that nobody pays for."""
    said = f": {refusal.said.rstrip('.')}" if refusal.said else ""
    return ModelUnpaid(f"The model refuses to work without credit ({refusal.status}){said}.")


def limited(status: int, pause: timedelta | None = None) -> AgentLimited:
    """Give the error for a limit; `pause` is the model's own word for how long it lasts."""
    told = "" if pause is None else f" It asks for {round(pause.total_seconds())} seconds."
    return AgentLimited(
        f"The model is overloaded or its rate limit is reached ({status}).{told}",
        hint="Submit the task again later, run fewer at once, or raise the limit.",
        retry_after=RETRY_LIMITED if pause is None else pause,
    )
