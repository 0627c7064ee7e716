"""A database that is a file of this machine: SQLite, read on the loop and written by one thread."""
