"""How a task is set up, and whether tests truly ran: as the SQL file of the same name says."""

from codebot.store.upgrade import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql(__file__)
