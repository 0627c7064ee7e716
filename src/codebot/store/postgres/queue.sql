-- What Codebot adds to the schema of Procrastinate.

-- Asked for every job that might be the next: which others there are of its key.
CREATE INDEX codebot_jobs_by_lock ON procrastinate_jobs (lock, priority)
    WHERE status IN ('todo', 'doing');

-- A key that is free again wakes those who wait for it; Procrastinate leaves that to its poll.
CREATE FUNCTION codebot_tell_of_free_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('procrastinate_queue_v1#' || queue_name, '')
    FROM (
        SELECT DISTINCT queue_name FROM procrastinate_jobs
        WHERE lock = OLD.lock AND status = 'todo'
    ) AS waiting;
    RETURN NULL;
END;
$$;

CREATE TRIGGER codebot_free_key AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status IN ('todo', 'doing'))
    EXECUTE FUNCTION codebot_tell_of_free_key();

-- The processes that work on tasks, by a name that outlives them: whoever comes next under that
-- name knows that this one is dead.
CREATE TABLE nodes (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    worker_id BIGINT NOT NULL
);
