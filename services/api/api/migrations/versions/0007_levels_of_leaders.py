"""levels of leaders; what was kept without effect is gone."""

import sqlalchemy as sa
from alembic import op
from shared.store import engine

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("lead_config", schema=None) as batch_op:
        batch_op.add_column(sa.Column("level", sa.String(length=32), server_default="", nullable=False))
        batch_op.drop_column("recommend_share")
        batch_op.drop_column("recommend_share_rate")
        batch_op.drop_column("invite_scope")


def downgrade() -> None:
    with op.batch_alter_table("lead_config", schema=None) as batch_op:
        batch_op.add_column(sa.Column("invite_scope", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("recommend_share_rate", engine.ScaledDecimal(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("recommend_share", sa.Integer(), server_default="0", nullable=False))
        batch_op.drop_column("level")
