"""The fence: a worker that was only slow, not dead, finds out here that it lost its run."""

from sqlalchemy import Connection, bindparam, select

from codebot.domain.run import Run
from codebot.domain.status import RunStatus
from codebot.errors import RunLost
from codebot.store.schema import runs

_HELD = select(runs.c.attempt, runs.c.status).where(runs.c.id == bindparam("id")).with_for_update()


def require_run(connection: Connection, run: Run) -> None:
    """Let the write go on if `run` is running under this very attempt; else raise `RunLost`.

    Where a database has several writers, nobody takes the run over until the transaction ends.
    """
    held = connection.execute(_HELD, {"id": run.id}).one_or_none()
    if held is None or tuple(held) != (run.attempt, RunStatus.RUNNING.value):
        raise lost(run)


def lost(run: Run) -> RunLost:
    """Give the error for who does not have the run any more."""
    return RunLost(f"Run {run.id} is no longer in the hands of attempt {run.attempt}.")
