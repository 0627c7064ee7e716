"""Step 6: tell the world: the branch, the pull request, and their wording."""
