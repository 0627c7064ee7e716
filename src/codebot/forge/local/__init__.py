"""Repositories on this machine; a pull request is a record with a page of its own."""
