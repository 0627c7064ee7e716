"""Names that callers gave their requests, as the SQL file of the same name makes their table."""

from codebot.store.upgrade import run_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql(__file__)
