"""Tell the world: push the branch, open the pull request, in words fit for people."""
