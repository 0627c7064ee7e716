"""The tables, as SQLAlchemy Core describes them; `migrations/` makes the very same ones.

Times are text, UTC, always `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`: they sort as they are and people can
read them. Order never depends on them: every list and every queue goes by a `seq` that only grows.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    false,
    literal_column,
    text,
)

from codebot.domain.status import RunStatus
from codebot.store.dialect import INTEGER, TEXT, partial_index

metadata = MetaData()

_LIVE = "status IN ('pending', 'interrupted', 'running')"
_WAITING = "status IN ('pending', 'interrupted')"

tasks = Table(
    "tasks",
    metadata,
    Column("seq", INTEGER, primary_key=True),
    Column("id", TEXT, nullable=False, unique=True),
    Column("status", TEXT, nullable=False),
    Column("phase", TEXT),
    Column("outcome", TEXT),
    Column("forge", TEXT, nullable=False),
    Column("host", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("repository_url", TEXT, nullable=False),
    Column("repository_path", TEXT),
    Column("branch_name", TEXT, nullable=False),
    Column("ticket_id", TEXT),
    Column("ticket_summary", TEXT),
    Column("test_command", TEXT),
    Column("base_branch", TEXT),
    Column("key_fingerprint", TEXT, nullable=False),
    Column("submitted_at", TEXT, nullable=False),
    Column("started_at", TEXT),
    Column("completed_at", TEXT),
    Column("failure_code", TEXT),
    Column("failure_detail", TEXT),
    Column("failure_hint", TEXT),
    Column("failure_retryable", Boolean),
    Column("pull_request_number", INTEGER),
    Column("pull_request_url", TEXT),
    Column("pull_request_state", TEXT),
    Column("pull_request_draft", Boolean),
    Column("branch_pushed", Boolean, nullable=False, server_default=false()),
    Column("work_dir", TEXT),
    Column("turns", INTEGER, nullable=False, server_default=text("0")),
    Column("input_tokens", INTEGER, nullable=False, server_default=text("0")),
    Column("output_tokens", INTEGER, nullable=False, server_default=text("0")),
    Column("cost_usd", Float, nullable=False, server_default=text("0")),
    Column("description_head", TEXT, nullable=False),
    Column("setup_command", TEXT),
    Column("verified", Boolean, nullable=False, server_default=false()),
    Column("cancel_wished_by", TEXT),
    UniqueConstraint("repository_url", "branch_name", name="one_task_per_branch"),
    Index("tasks_by_status", "status", "seq"),
    partial_index("tasks_by_end", "completed_at", where="completed_at IS NOT NULL"),
    sqlite_autoincrement=True,
)

# A description longer than a list shows; apart, so that no list and no status read touches it.
descriptions = Table(
    "descriptions",
    metadata,
    Column("task_id", TEXT, primary_key=True, nullable=False),
    Column("text", TEXT, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("seq", INTEGER, primary_key=True),
    Column("id", TEXT, nullable=False, unique=True),
    Column("task_id", TEXT, nullable=False),
    Column("queue", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("key", TEXT, nullable=False),
    Column("created_at", TEXT, nullable=False),
    Column("attempt", INTEGER, nullable=False, server_default=text("0")),
    Column("crashes", INTEGER, nullable=False, server_default=text("0")),
    Column("failures", INTEGER, nullable=False, server_default=text("0")),
    Column("not_before", TEXT),
    Index("runs_of_task", "task_id"),
    partial_index("one_running_run_per_key", "key", unique=True, where="status = 'running'"),
    partial_index("runs_waiting", "queue", "seq", where=_WAITING),
    partial_index("runs_live_by_key", "key", "seq", where=_LIVE),
    sqlite_autoincrement=True,
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", TEXT, nullable=False),
    Column("task_id", TEXT, nullable=False),
    Column("step", TEXT, nullable=False),
    Column("round", INTEGER, nullable=False),
    Column("attempt", INTEGER, nullable=False),
    Column("started_at", TEXT, nullable=False),
    Column("ended_at", TEXT),
    Column("result", TEXT),
    Column("failure_code", TEXT),
    Column("failure_detail", TEXT),
    PrimaryKeyConstraint("run_id", "step", "round"),
    Index("steps_of_task", "task_id"),
)

events = Table(
    "events",
    metadata,
    Column("seq", INTEGER, primary_key=True),
    Column("id", TEXT, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("time", TEXT, nullable=False),
    Column("task_id", TEXT, nullable=False),
    Column("run_id", TEXT),
    Column("data", TEXT, nullable=False),
    Index("events_of_task", "task_id", "seq"),
    sqlite_autoincrement=True,
)

agent_log = Table(
    "agent_log",
    metadata,
    Column("seq", INTEGER, primary_key=True),
    Column("task_id", TEXT, nullable=False),
    Column("run_id", TEXT, nullable=False),
    Column("text", TEXT, nullable=False),
    Index("agent_log_of_task", "task_id", "seq"),
    sqlite_autoincrement=True,
)

diffs = Table(
    "diffs",
    metadata,
    Column("task_id", TEXT, primary_key=True, nullable=False),
    Column("text", TEXT, nullable=False),
)

# Names that callers gave their requests, so that one sent again is known.
request_keys = Table(
    "request_keys",
    metadata,
    Column("id", TEXT, primary_key=True, nullable=False),
    Column("request", TEXT, nullable=False),
    Column("task_id", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Index("request_keys_of_task", "task_id"),
)

# What a task changed, or was about to change, in the outside world.
effects = Table(
    "effects",
    metadata,
    Column("task_id", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("run_id", TEXT, nullable=False),
    Column("begun_at", TEXT, nullable=False),
    Column("ended_at", TEXT),
    Column("result", TEXT),
    PrimaryKeyConstraint("task_id", "kind", "name"),
)

# The newest change of a task that is not done, for a node that never saw its workspace.
parcels = Table(
    "parcels",
    metadata,
    Column("task_id", TEXT, primary_key=True, nullable=False),
    Column("run_id", TEXT, nullable=False),
    Column("round", INTEGER, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# What the boxes of a task reached and were refused, added up over accesses that were alike.
egress = Table(
    "egress",
    metadata,
    Column("task_id", TEXT, nullable=False),
    Column("host", TEXT, nullable=False),
    Column("port", INTEGER, nullable=False),
    Column("verdict", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("count", INTEGER, nullable=False),
    Column("sent", INTEGER, nullable=False),
    Column("received", INTEGER, nullable=False),
    Column("first_at", TEXT, nullable=False),
    Column("last_at", TEXT, nullable=False),
    PrimaryKeyConstraint("task_id", "host", "port", "verdict", "reason"),
)

# No task data: a record stays until its pull request is merged or closed, however old the task.
pull_requests = Table(
    "pull_requests",
    metadata,
    Column("repository_url", TEXT, nullable=False),
    Column("number", INTEGER, nullable=False),
    Column("task_id", TEXT, nullable=False),
    Column("url", TEXT, nullable=False),
    Column("head", TEXT, nullable=False),
    Column("base", TEXT, nullable=False),
    Column("title", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("draft", Boolean, nullable=False),
    Column("etag", TEXT),
    Column("opened_at", TEXT, nullable=False),
    PrimaryKeyConstraint("repository_url", "number"),
    Index("pull_requests_of_task", "task_id"),
    Index("pull_requests_by_head", "repository_url", "head"),
)


def is_waiting(table: FromClause) -> ColumnElement[bool]:
    """Give the condition that a run waits, as its partial index has it.

    Literally: with bound values SQLite cannot tell that the index holds every such run.
    """
    return _status_in(table, RunStatus.PENDING, RunStatus.INTERRUPTED)


def is_live(table: FromClause) -> ColumnElement[bool]:
    """Give the condition that a run has not ended, as its partial index has it."""
    return _status_in(table, RunStatus.PENDING, RunStatus.INTERRUPTED, RunStatus.RUNNING)


def _status_in(table: FromClause, *statuses: RunStatus) -> ColumnElement[bool]:
    """Give the condition on the status with its values written out."""
    return table.c.status.in_([literal_column(f"'{status}'") for status in statuses])
