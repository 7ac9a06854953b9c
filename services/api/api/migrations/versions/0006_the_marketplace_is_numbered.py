"""the marketplace is numbered."""

import sqlalchemy as sa
from alembic import op
from shared.store import engine  # noqa: F401  (column types of some versions)

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
MORE = ("win_rate", "max_drawdown", "avg_pnl_per_trade", "trades", "login")


def upgrade() -> None:
    with op.batch_alter_table("master", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_master_seen"))

    with op.batch_alter_table("master_stats", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.drop_index(batch_op.f("ix_stats_pnl"))
        batch_op.drop_index(batch_op.f("ix_stats_roi"))
        batch_op.create_index(batch_op.f("ix_master_stats_change_id"), ["change_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("master_stats", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_master_stats_change_id"))
        batch_op.create_index(batch_op.f("ix_stats_roi"), ["period", "roi", "pnl", *MORE], unique=False)
        batch_op.create_index(batch_op.f("ix_stats_pnl"), ["period", "pnl", "roi", *MORE], unique=False)
        batch_op.drop_column("change_id")

    with op.batch_alter_table("master", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_master_seen"), ["login", "visibility", "enabled", "customer_id", "id"], unique=False)
