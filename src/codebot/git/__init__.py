"""The one way to run git: fixed environment, time limits, the token by a pipe."""
