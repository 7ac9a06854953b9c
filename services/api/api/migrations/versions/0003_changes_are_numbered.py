"""changes are numbered."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "position_gone",
        sa.Column("order", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("order"),
    )
    with op.batch_alter_table("position_gone", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_position_gone_change_id"), ["change_id"], unique=False)

    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.create_index(batch_op.f("ix_account_change_id"), ["change_id"], unique=False)

    with op.batch_alter_table("accrual", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.create_index(batch_op.f("ix_accrual_change_id"), ["change_id"], unique=False)

    with op.batch_alter_table("deal", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.create_index(batch_op.f("ix_deal_change_id"), ["change_id"], unique=False)

    with op.batch_alter_table("position", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.create_index(batch_op.f("ix_position_change_id"), ["change_id"], unique=False)

    with op.batch_alter_table("trade_link", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change_id", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.create_index(batch_op.f("ix_trade_link_change_id"), ["change_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("trade_link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_trade_link_change_id"))
        batch_op.drop_column("change_id")

    with op.batch_alter_table("position", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_position_change_id"))
        batch_op.drop_column("change_id")

    with op.batch_alter_table("deal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deal_change_id"))
        batch_op.drop_column("change_id")

    with op.batch_alter_table("accrual", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_accrual_change_id"))
        batch_op.drop_column("change_id")

    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_account_change_id"))
        batch_op.drop_column("change_id")

    with op.batch_alter_table("position_gone", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_position_gone_change_id"))

    op.drop_table("position_gone")
    op.drop_table("change_counter")
