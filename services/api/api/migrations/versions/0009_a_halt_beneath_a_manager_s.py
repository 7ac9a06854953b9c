"""a halt beneath a manager's."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("halt", schema=None) as batch_op:
        batch_op.add_column(sa.Column("beneath", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("halt", schema=None) as batch_op:
        batch_op.drop_column("beneath")
