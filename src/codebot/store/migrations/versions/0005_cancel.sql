ALTER TABLE tasks ADD COLUMN cancel_wished_by TEXT;
