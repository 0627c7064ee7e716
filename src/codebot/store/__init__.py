"""What Codebot knows, on disk: tables, queries, events and migrations."""
