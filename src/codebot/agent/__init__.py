"""Step 4: the coding agent: how it is started, read, stopped and judged."""
