"""A database that others serve: PostgreSQL, through psycopg 3 and a pool of connections."""
