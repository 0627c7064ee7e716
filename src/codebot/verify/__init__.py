"""Step 5: does the change hold: the repository's own tests, run by the service."""
