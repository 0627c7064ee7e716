"""Where repositories live and pull requests are opened."""
