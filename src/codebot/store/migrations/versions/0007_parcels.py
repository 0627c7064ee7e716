"""Changes on their way to another node, as the SQL file of the same name has it written down."""

from codebot.store.upgrade import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql(__file__)
