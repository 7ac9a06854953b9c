"""rules have their version."""

import sqlalchemy as sa
from alembic import op
from shared.store import engine  # noqa: F401  (column types of some versions)

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is there is older than whatever is told next, and every halt that is there holds.
    with op.batch_alter_table("halt", schema=None) as batch_op:
        batch_op.add_column(sa.Column("version", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("active", sa.Integer(), server_default="1", nullable=False))

    with op.batch_alter_table("manual", schema=None) as batch_op:
        batch_op.add_column(sa.Column("follower", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("version", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("ended", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    # What knows no end takes every row for a rule that holds.
    op.execute("DELETE FROM manual WHERE ended = 1")
    with op.batch_alter_table("manual", schema=None) as batch_op:
        batch_op.drop_column("ended")
        batch_op.drop_column("version")
        batch_op.drop_column("follower")

    op.execute("DELETE FROM halt WHERE active = 0")
    with op.batch_alter_table("halt", schema=None) as batch_op:
        batch_op.drop_column("active")
        batch_op.drop_column("version")
