CREATE TABLE effects (
    task_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    run_id TEXT NOT NULL,
    begun_at TEXT NOT NULL,
    ended_at TEXT,
    result TEXT,
    PRIMARY KEY (task_id, kind, name)
);
