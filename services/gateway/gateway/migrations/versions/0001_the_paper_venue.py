"""The paper venue."""

import sqlalchemy as sa
from alembic import op
from shared.store import engine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("login", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("group_name", sa.String(length=32), nullable=False),
        sa.Column("leverage", sa.Integer(), nullable=False),
        sa.Column("balance", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("credit", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login"),
    )
    op.create_table(
        "answer",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("event_index", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("retried_ms", sa.BigInteger(), nullable=True),
        sa.Column("retry_requested_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.create_index("ix_dead_letter_stream", ["stream", "number"], unique=False)

    op.create_table(
        "deal",
        sa.Column("deal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("entry", sa.String(length=3), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("price", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("profit", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("commission", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("swap", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("deal"),
    )
    with op.batch_alter_table("deal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deal_login"), ["login"], unique=False)

    op.create_table(
        "halt",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "log_counter",
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream"),
    )
    op.create_table(
        "log_outbox",
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("lost_first", sa.BigInteger(), nullable=True),
        sa.Column("lost_last", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("stream", "number"),
    )
    op.create_table(
        "log_place",
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream"),
    )
    op.create_table(
        "log_report",
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("reader", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("reported_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "reader"),
    )
    op.create_table(
        "manual",
        sa.Column("login", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mode", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("login"),
    )
    op.create_table(
        "operation",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("amount", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("api_data", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("operation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_operation_login"), ["login"], unique=False)

    op.create_table(
        "pending",
        sa.Column("order", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("price", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("limit_price", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("sl", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("tp", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("master", sa.BigInteger(), nullable=False),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("order"),
    )
    op.create_table(
        "position",
        sa.Column("order", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("initial", sa.BigInteger(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("price", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("sl", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("tp", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("leverage", sa.Integer(), nullable=False),
        sa.Column("commission", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("swap", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order"),
    )
    op.create_table(
        "price",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("bid", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("ask", engine.ExactDecimal(length=80), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("symbol"),
    )
    op.create_table(
        "venue_number",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("venue_number")
    op.drop_table("price")
    op.drop_table("position")
    op.drop_table("pending")
    with op.batch_alter_table("operation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_operation_login"))

    op.drop_table("operation")
    op.drop_table("manual")
    op.drop_table("log_report")
    op.drop_table("log_place")
    op.drop_table("log_outbox")
    op.drop_table("log_counter")
    op.drop_table("halt")
    with op.batch_alter_table("deal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deal_login"))

    op.drop_table("deal")
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_index("ix_dead_letter_stream")

    op.drop_table("dead_letter")
    op.drop_table("answer")
    op.drop_table("account")
