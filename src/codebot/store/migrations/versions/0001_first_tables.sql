CREATE TABLE tasks (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    status TEXT NOT NULL,
    phase TEXT,
    outcome TEXT,
    forge TEXT NOT NULL,
    host TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    repository_url TEXT NOT NULL,
    repository_path TEXT,
    branch_name TEXT NOT NULL,
    ticket_id TEXT,
    ticket_summary TEXT,
    test_command TEXT,
    base_branch TEXT,
    key_fingerprint TEXT NOT NULL,
    submitted_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    failure_code TEXT,
    failure_detail TEXT,
    failure_hint TEXT,
    failure_retryable BOOLEAN,
    pull_request_number INTEGER,
    pull_request_url TEXT,
    pull_request_state TEXT,
    pull_request_draft BOOLEAN,
    branch_pushed BOOLEAN DEFAULT 0 NOT NULL,
    work_dir TEXT,
    turns INTEGER DEFAULT 0 NOT NULL,
    input_tokens INTEGER DEFAULT 0 NOT NULL,
    output_tokens INTEGER DEFAULT 0 NOT NULL,
    cost_usd FLOAT DEFAULT 0 NOT NULL,
    description_head TEXT NOT NULL,
    CONSTRAINT one_task_per_branch UNIQUE (repository_url, branch_name),
    UNIQUE (id)
);
CREATE INDEX tasks_by_end ON tasks (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, seq);

CREATE TABLE descriptions (
    task_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (task_id)
);

CREATE TABLE runs (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    "key" TEXT NOT NULL,
    created_at TEXT NOT NULL,
    attempt INTEGER DEFAULT 0 NOT NULL,
    crashes INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    UNIQUE (id)
);
CREATE UNIQUE INDEX one_running_run_per_key ON runs ("key") WHERE status = 'running';
CREATE INDEX runs_live_by_key ON runs ("key", seq) WHERE status IN ('pending', 'interrupted', 'running');
CREATE INDEX runs_of_task ON runs (task_id);
CREATE INDEX runs_waiting ON runs (queue, seq) WHERE status IN ('pending', 'interrupted');

CREATE TABLE steps (
    run_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    step TEXT NOT NULL,
    round INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    result TEXT,
    failure_code TEXT,
    failure_detail TEXT,
    PRIMARY KEY (run_id, step, round)
);
CREATE INDEX steps_of_task ON steps (task_id);

CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    time TEXT NOT NULL,
    task_id TEXT NOT NULL,
    run_id TEXT,
    data TEXT NOT NULL
);
CREATE INDEX events_of_task ON events (task_id, seq);

CREATE TABLE agent_log (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX agent_log_of_task ON agent_log (task_id, seq);

CREATE TABLE diffs (
    task_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (task_id)
);

CREATE TABLE pull_requests (
    repository_url TEXT NOT NULL,
    number INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    url TEXT NOT NULL,
    head TEXT NOT NULL,
    base TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    draft BOOLEAN NOT NULL,
    etag TEXT,
    opened_at TEXT NOT NULL,
    PRIMARY KEY (repository_url, number)
);
CREATE INDEX pull_requests_by_head ON pull_requests (repository_url, head);
CREATE INDEX pull_requests_of_task ON pull_requests (task_id);
