"""What a repository needs to run its tests: which recipe says so, and setting it up."""
