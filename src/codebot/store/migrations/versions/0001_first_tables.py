"""The first tables, as the SQL file of the same name makes them."""

from codebot.store.upgrade import run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql(__file__)
