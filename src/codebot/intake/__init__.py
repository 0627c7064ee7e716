"""Step 1: every door a task comes in by."""
