"""Step 3: a clean tree for one task, and the way its work comes back out."""
