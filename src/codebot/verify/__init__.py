"""Step 5: does the change hold? The repository's own tests, run by the service, say so."""
