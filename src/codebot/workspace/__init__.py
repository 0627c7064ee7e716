"""A clean tree for one task, and the way back out of it."""
