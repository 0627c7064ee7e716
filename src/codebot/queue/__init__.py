"""Step 2: who works on what, when, and again."""
