"""Who wants a task to end, as the SQL file of the same name has it written down."""

from codebot.store.upgrade import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql(__file__)
