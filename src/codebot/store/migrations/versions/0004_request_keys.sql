CREATE TABLE request_keys (
    id TEXT NOT NULL,
    request TEXT NOT NULL,
    task_id TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX request_keys_of_task ON request_keys (task_id);
