"""who took part in a master's day of being copied: what its result is averaged over, beside those who copy the master still."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "participant",
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("subscription", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login", "day", "subscription"),
    )
    with op.batch_alter_table("copy_day", schema=None) as batch_op:
        batch_op.add_column(sa.Column("participants", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("copy_day", schema=None) as batch_op:
        batch_op.drop_column("participants")

    op.drop_table("participant")
