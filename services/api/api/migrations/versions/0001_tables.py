"""The tables of the api."""

import sqlalchemy as sa
from alembic import op
from shared.store import engine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915  (one statement a table)
    op.create_table(
        "account",
        sa.Column("login", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("leverage", sa.Integer(), nullable=False),
        sa.Column("balance", engine.ScaledDecimal(), nullable=False),
        sa.Column("credit", engine.ScaledDecimal(), nullable=False),
        sa.Column("equity", engine.ScaledDecimal(), nullable=False),
        sa.Column("margin", engine.ScaledDecimal(), nullable=False),
        sa.Column("free_margin", engine.ScaledDecimal(), nullable=False),
        sa.Column("positions", sa.Integer(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login"),
    )
    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_account_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "accrual",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscription_id", sa.BigInteger(), nullable=False),
        sa.Column("master_login", sa.BigInteger(), nullable=False),
        sa.Column("follower_login", sa.BigInteger(), nullable=False),
        sa.Column("reward_type", sa.Integer(), nullable=False),
        sa.Column("period_from", sa.BigInteger(), nullable=False),
        sa.Column("period_to", sa.BigInteger(), nullable=False),
        sa.Column("base_amount", engine.ScaledDecimal(), nullable=False),
        sa.Column("fee_amount", engine.ScaledDecimal(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("payout_account_login", sa.BigInteger(), nullable=False),
        sa.Column("payout_amount", engine.ScaledDecimal(), nullable=False),
        sa.Column("payout_currency", sa.String(), nullable=False),
        sa.Column("policy_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("source_order", sa.BigInteger(), nullable=False),
        sa.Column("charge_order", sa.BigInteger(), nullable=False),
        sa.Column("payout_order", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("formula", sa.String(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("ref_accrual_id", sa.BigInteger(), nullable=False),
        sa.Column("base_exact", engine.ExactDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("accrual", schema=None) as batch_op:
        batch_op.create_index("ix_accrual_follower", ["follower_login", "id"], unique=False)
        batch_op.create_index("ix_accrual_master", ["master_login", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_accrual_subscription_id"), ["subscription_id"], unique=False)

    op.create_table(
        "api_key",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("secret_sealed", sa.String(), nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("account_type", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("read_only", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("ips", sa.String(), nullable=False),
        sa.Column("require_nonce", sa.Integer(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_key_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_api_key_login"), ["login"], unique=False)

    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("noun", sa.String(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_created_ms"), ["created_ms"], unique=False)
        batch_op.create_index("ix_audit_record", ["noun", "record_id"], unique=False)

    op.create_table(
        "customer",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("otp_sealed", sa.String(), nullable=False),
        sa.Column("otp_enabled", sa.Integer(), nullable=False),
        sa.Column("otp_used", sa.BigInteger(), nullable=False),
        sa.Column("sessions_from_s", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sqlite_autoincrement=True,
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
        "decision",
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "deal",
        sa.Column("deal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("initial", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=False),
        sa.Column("left", sa.BigInteger(), nullable=False),
        sa.Column("open_price", engine.ScaledDecimal(), nullable=False),
        sa.Column("price", engine.ScaledDecimal(), nullable=False),
        sa.Column("profit", engine.ScaledDecimal(), nullable=False),
        sa.Column("commission", engine.ScaledDecimal(), nullable=False),
        sa.Column("swap", engine.ScaledDecimal(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("position_client_id", sa.String(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("deal"),
    )
    with op.batch_alter_table("deal", schema=None) as batch_op:
        batch_op.create_index("ix_deal_login", ["login", "closed_ms"], unique=False)
        batch_op.create_index("ix_deal_order", ["position"], unique=False)

    op.create_table(
        "follower",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("manual_trading_mode", sa.Integer(), nullable=False),
        sa.Column("max_master_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("login"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("follower", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_follower_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "halt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("scope", "key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(length=160), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key"),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_created_ms"), ["created_ms"], unique=False)

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
        "master",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("strategy_name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("visibility", sa.String(), nullable=False),
        sa.Column("allowed_follower_modes", sa.Integer(), nullable=False),
        sa.Column("show_trade_history", sa.Integer(), nullable=False),
        sa.Column("show_followers", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("login"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("master", schema=None) as batch_op:
        batch_op.create_index("ix_master_seen", ["login", "visibility", "enabled", "customer_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_master_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "master_stats",
        sa.Column("login", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("period_days", sa.Integer(), nullable=False),
        sa.Column("roi", engine.ScaledDecimal(), nullable=True),
        sa.Column("roi_simple", engine.ScaledDecimal(), nullable=True),
        sa.Column("pnl", engine.ScaledDecimal(), nullable=False),
        sa.Column("win_rate", engine.ScaledDecimal(), nullable=True),
        sa.Column("max_drawdown", engine.ScaledDecimal(), nullable=True),
        sa.Column("avg_pnl_per_trade", engine.ScaledDecimal(), nullable=True),
        sa.Column("trades", sa.Integer(), nullable=False),
        sa.Column("pnl_history", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("coverage_days", sa.Integer(), nullable=False),
        sa.Column("roi_quality", sa.String(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("login", "period"),
    )
    with op.batch_alter_table("master_stats", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stats_pnl", ["period", "pnl", "roi", "win_rate", "max_drawdown", "avg_pnl_per_trade", "trades", "login"], unique=False
        )
        batch_op.create_index(
            "ix_stats_roi", ["period", "roi", "pnl", "win_rate", "max_drawdown", "avg_pnl_per_trade", "trades", "login"], unique=False
        )

    op.create_table(
        "position",
        sa.Column("order", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("login", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("initial", sa.BigInteger(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("price", engine.ScaledDecimal(), nullable=False),
        sa.Column("sl", engine.ScaledDecimal(), nullable=False),
        sa.Column("tp", engine.ScaledDecimal(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order"),
    )
    with op.batch_alter_table("position", schema=None) as batch_op:
        batch_op.create_index("ix_position_login", ["login"], unique=False)

    op.create_table(
        "reward_policy",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("master_id", sa.BigInteger(), nullable=False),
        sa.Column("master_login", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("reward_type", sa.Integer(), nullable=False),
        sa.Column("billing_period", sa.String(), nullable=False),
        sa.Column("fee_amount", engine.ScaledDecimal(), nullable=False),
        sa.Column("fee_percent", engine.ScaledDecimal(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("payout_account_login", sa.BigInteger(), nullable=False),
        sa.Column("hwm_enabled", sa.Integer(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("hwm_basis", sa.String(), nullable=False),
        sa.Column("netting", sa.String(), nullable=False),
        sa.Column("rebate_sides", sa.String(), nullable=False),
        sa.Column("fee_cap", engine.ScaledDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("master_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sharing",
        sa.Column("subscription", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("follower_login", sa.BigInteger(), nullable=False),
        sa.Column("master_login", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("realized_profit", engine.ScaledDecimal(), nullable=False),
        sa.Column("holding", engine.ScaledDecimal(), nullable=False),
        sa.Column("settled", engine.ScaledDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("subscription"),
    )
    with op.batch_alter_table("sharing", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sharing_follower_login"), ["follower_login"], unique=False)

    op.create_table(
        "signed",
        sa.Column("key_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("used", sa.String(length=128), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "used"),
    )
    with op.batch_alter_table("signed", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_signed_expires_ms"), ["expires_ms"], unique=False)

    op.create_table(
        "subscription",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("master_login", sa.BigInteger(), nullable=False),
        sa.Column("follower_login", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("copy_mode", sa.Integer(), nullable=False),
        sa.Column("volume_mode", sa.Integer(), nullable=False),
        sa.Column("risk_multiplier", engine.ScaledDecimal(), nullable=False),
        sa.Column("fixed_volume", sa.BigInteger(), nullable=False),
        sa.Column("copy_sl", sa.Integer(), nullable=False),
        sa.Column("copy_tp", sa.Integer(), nullable=False),
        sa.Column("copy_partial_close", sa.Integer(), nullable=False),
        sa.Column("copy_pending_orders", sa.Integer(), nullable=False),
        sa.Column("copy_existing_positions", sa.Integer(), nullable=False),
        sa.Column("reverse_direction", sa.Integer(), nullable=False),
        sa.Column("max_volume", sa.BigInteger(), nullable=False),
        sa.Column("min_volume", sa.BigInteger(), nullable=False),
        sa.Column("max_positions", sa.Integer(), nullable=False),
        sa.Column("symbols_mode", sa.Integer(), nullable=False),
        sa.Column("symbols", sa.Text(), nullable=False),
        sa.Column("allocation_percent", engine.ScaledDecimal(), nullable=False),
        sa.Column("small_volume_policy", sa.String(), nullable=False),
        sa.Column("ratio_multiplier", engine.ScaledDecimal(), nullable=False),
        sa.Column("max_slippage_points", sa.Integer(), nullable=False),
        sa.Column("max_signal_age_ms", sa.BigInteger(), nullable=False),
        sa.Column("require_sl", sa.Integer(), nullable=False),
        sa.Column("daily_loss_percent", engine.ScaledDecimal(), nullable=False),
        sa.Column("drawdown_percent", engine.ScaledDecimal(), nullable=False),
        sa.Column("stop_action", sa.String(), nullable=False),
        sa.Column("resumed_ms", sa.BigInteger(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("follower_login", "master_login"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.create_index("ix_subscription_master", ["master_login"], unique=False)

    op.create_table(
        "symbol",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("digits", sa.Integer(), nullable=False),
        sa.Column("contract_size", engine.ScaledDecimal(), nullable=False),
        sa.Column("base_currency", sa.String(), nullable=False),
        sa.Column("quote_currency", sa.String(), nullable=False),
        sa.Column("volume_per_lot", sa.Integer(), nullable=False),
        sa.Column("volume_min", sa.Integer(), nullable=False),
        sa.Column("volume_step", sa.Integer(), nullable=False),
        sa.Column("volume_max", sa.BigInteger(), nullable=False),
        sa.Column("bid", engine.ScaledDecimal(), nullable=False),
        sa.Column("ask", engine.ScaledDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("symbol"),
    )
    op.create_table(
        "trade_link",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscription_id", sa.BigInteger(), nullable=False),
        sa.Column("master_login", sa.BigInteger(), nullable=False),
        sa.Column("follower_login", sa.BigInteger(), nullable=False),
        sa.Column("master_order", sa.BigInteger(), nullable=False),
        sa.Column("follower_order", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("volume_now", sa.BigInteger(), nullable=False),
        sa.Column("master_volume", sa.BigInteger(), nullable=False),
        sa.Column("master_volume_now", sa.BigInteger(), nullable=False),
        sa.Column("price", engine.ScaledDecimal(), nullable=False),
        sa.Column("sl", engine.ScaledDecimal(), nullable=False),
        sa.Column("tp", engine.ScaledDecimal(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("trade_link", schema=None) as batch_op:
        batch_op.create_index("ix_trade_link_follower", ["follower_login", "id"], unique=False)
        batch_op.create_index("ix_trade_link_master", ["master_login", "id"], unique=False)
        batch_op.create_index("ix_trade_link_subscription", ["subscription_id", "state"], unique=False)

    op.create_table(
        "version",
        sa.Column("noun", sa.String(length=32), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("noun", "record_id", "version"),
    )


def downgrade() -> None:  # noqa: PLR0915
    op.drop_table("version")
    with op.batch_alter_table("trade_link", schema=None) as batch_op:
        batch_op.drop_index("ix_trade_link_subscription")
        batch_op.drop_index("ix_trade_link_master")
        batch_op.drop_index("ix_trade_link_follower")

    op.drop_table("trade_link")
    op.drop_table("symbol")
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_index("ix_subscription_master")

    op.drop_table("subscription")
    with op.batch_alter_table("signed", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_signed_expires_ms"))

    op.drop_table("signed")
    with op.batch_alter_table("sharing", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sharing_follower_login"))

    op.drop_table("sharing")
    op.drop_table("reward_policy")
    with op.batch_alter_table("position", schema=None) as batch_op:
        batch_op.drop_index("ix_position_login")

    op.drop_table("position")
    with op.batch_alter_table("master_stats", schema=None) as batch_op:
        batch_op.drop_index("ix_stats_roi")
        batch_op.drop_index("ix_stats_pnl")

    op.drop_table("master_stats")
    with op.batch_alter_table("master", schema=None) as batch_op:
        batch_op.drop_index("ix_master_seen")
        batch_op.drop_index(batch_op.f("ix_master_customer_id"))

    op.drop_table("master")
    op.drop_table("log_report")
    op.drop_table("log_place")
    op.drop_table("log_outbox")
    op.drop_table("log_counter")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_created_ms"))

    op.drop_table("idempotency")
    op.drop_table("halt")
    with op.batch_alter_table("follower", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_follower_customer_id"))

    op.drop_table("follower")
    with op.batch_alter_table("deal", schema=None) as batch_op:
        batch_op.drop_index("ix_deal_order")
        batch_op.drop_index("ix_deal_login")

    op.drop_table("deal")
    op.drop_table("decision")
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_index("ix_dead_letter_stream")

    op.drop_table("dead_letter")
    op.drop_table("customer")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_record")
        batch_op.drop_index(batch_op.f("ix_audit_created_ms"))

    op.drop_table("audit")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_key_login"))
        batch_op.drop_index(batch_op.f("ix_api_key_customer_id"))

    op.drop_table("api_key")
    with op.batch_alter_table("accrual", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_accrual_subscription_id"))
        batch_op.drop_index("ix_accrual_master")
        batch_op.drop_index("ix_accrual_follower")

    op.drop_table("accrual")
    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_account_customer_id"))

    op.drop_table("account")
