"""Logs, with every known secret removed at the sink."""
