"""The one way to run git: fixed environment, time limits, tokens by pipe."""
