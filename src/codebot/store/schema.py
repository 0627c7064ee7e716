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
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

from codebot.domain.status import RunStatus

metadata = MetaData()

_LIVE = "status IN ('pending', 'interrupted', 'running')"
_WAITING = "status IN ('pending', 'interrupted')"

tasks = Table(
    "tasks",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("phase", Text),
    Column("outcome", Text),
    Column("forge", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("repository_url", Text, nullable=False),
    Column("repository_path", Text),
    Column("branch_name", Text, nullable=False),
    Column("ticket_id", Text),
    Column("ticket_summary", Text),
    Column("test_command", Text),
    Column("base_branch", Text),
    Column("key_fingerprint", Text, nullable=False),
    Column("submitted_at", Text, nullable=False),
    Column("started_at", Text),
    Column("completed_at", Text),
    Column("failure_code", Text),
    Column("failure_detail", Text),
    Column("failure_hint", Text),
    Column("failure_retryable", Boolean),
    Column("pull_request_number", Integer),
    Column("pull_request_url", Text),
    Column("pull_request_state", Text),
    Column("pull_request_draft", Boolean),
    Column("branch_pushed", Boolean, nullable=False, server_default=text("0")),
    Column("work_dir", Text),
    Column("turns", Integer, nullable=False, server_default=text("0")),
    Column("input_tokens", Integer, nullable=False, server_default=text("0")),
    Column("output_tokens", Integer, nullable=False, server_default=text("0")),
    Column("cost_usd", Float, nullable=False, server_default=text("0")),
    Column("description_head", Text, nullable=False),
    Column("setup_command", Text),
    Column("verified", Boolean, nullable=False, server_default=text("0")),
    UniqueConstraint("repository_url", "branch_name", name="one_task_per_branch"),
    Index("tasks_by_status", "status", "seq"),
    Index("tasks_by_end", "completed_at", sqlite_where=text("completed_at IS NOT NULL")),
    sqlite_autoincrement=True,
)

# A description longer than a list shows; apart, so that no list and no status read touches it.
descriptions = Table(
    "descriptions",
    metadata,
    Column("task_id", Text, primary_key=True, nullable=False),
    Column("text", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("task_id", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("not_before", Text),
    Index("runs_of_task", "task_id"),
    Index("one_running_run_per_key", "key", unique=True, sqlite_where=text("status = 'running'")),
    Index("runs_waiting", "queue", "seq", sqlite_where=text(_WAITING)),
    Index("runs_live_by_key", "key", "seq", sqlite_where=text(_LIVE)),
    sqlite_autoincrement=True,
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("result", Text),
    Column("failure_code", Text),
    Column("failure_detail", Text),
    PrimaryKeyConstraint("run_id", "step", "round"),
    Index("steps_of_task", "task_id"),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("time", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("run_id", Text),
    Column("data", Text, nullable=False),
    Index("events_of_task", "task_id", "seq"),
    sqlite_autoincrement=True,
)

agent_log = Table(
    "agent_log",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("agent_log_of_task", "task_id", "seq"),
    sqlite_autoincrement=True,
)

diffs = Table(
    "diffs",
    metadata,
    Column("task_id", Text, primary_key=True, nullable=False),
    Column("text", Text, nullable=False),
)

# What the boxes of a task reached and were refused, added up over accesses that were alike.
egress = Table(
    "egress",
    metadata,
    Column("task_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("first_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    PrimaryKeyConstraint("task_id", "host", "port", "verdict", "reason"),
)

# No task data: a record stays until its pull request is merged or closed, however old the task.
pull_requests = Table(
    "pull_requests",
    metadata,
    Column("repository_url", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("draft", Boolean, nullable=False),
    Column("etag", Text),
    Column("opened_at", Text, nullable=False),
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
