"""Where commands that touch a workspace run."""
