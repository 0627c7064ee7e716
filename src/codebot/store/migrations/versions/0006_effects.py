"""What tasks change in the outside world, as the SQL file of the same name makes its table."""

from codebot.store.upgrade import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql(__file__)
