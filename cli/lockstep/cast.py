"""Who takes part in the demo: three masters, how each trades and is rewarded, and a dozen followers with settings of their own."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lockstep.strategies import Rule, breakout, mean_reversion, moving_average_cross

Settings = dict[str, Any]
"""Fields of a request to the api, as the specification names them."""


@dataclass(frozen=True, slots=True)
class MasterRole:
    """A master: `volume` units an order; `loss` and `gain` are shares of the price for its stops."""

    key: str
    name: str
    description: str
    symbol: str
    volume: int
    rule: Rule
    group: str
    balance: int
    reward: Settings
    reward_words: str
    loss: Decimal = Decimal(0)
    gain: Decimal = Decimal(0)

    @property
    def email(self) -> str:
        return f"{self.key}@demo.example"


@dataclass(frozen=True, slots=True)
class FollowerRole:
    """A follower: whom it copies, each with its settings. `owner`: the key of the customer whose account it is; empty: its own."""

    key: str
    words: str
    copies: dict[str, Settings]
    group: str = "real-usd"
    balance: int = 10_000
    owner: str = ""
    follower: Settings = field(default_factory=dict)

    @property
    def email(self) -> str:
        return f"{self.owner or self.key}@demo.example"


MASTERS = (
    MasterRole(
        "trend",
        "Cable Trend",
        "GBPUSD with the trend: a short moving average against a long one.",
        "GBPUSD",
        100,
        moving_average_cross(12, 48),
        "real-usd",
        50_000,
        {"reward_type": 0, "billing_period": "monthly", "fee_amount": 25},
        "subscription 25 a month",
    ),
    MasterRole(
        "breakout",
        "Bitcoin Breakout",
        "Buys new highs and sells new lows of BTC-SWAP-USDT, always with a stop.",
        "BTC-SWAP-USDT",
        100,
        breakout(40),
        "real-usdt",
        100_000,
        {"reward_type": 1, "billing_period": "monthly", "fee_percent": 20, "hwm_enabled": 1},
        "20 % above high-water mark",
        loss=Decimal("0.004"),
        gain=Decimal("0.006"),
    ),
    MasterRole(
        "reversion",
        "Cable Reversion",
        "Fades moves of GBPUSD away from their mean, and takes half off on the way back.",
        "GBPUSD",
        200,
        mean_reversion(40, Decimal("1.5")),
        "real-usd",
        80_000,
        {"reward_type": 3, "fee_percent": 15},
        "15 % of each profit",
    ),
)

FOLLOWERS = (
    FollowerRole("anna", "all as it is", {"trend": {}}, balance=50_000),
    FollowerRole("ben", "half, one position", {"trend": {"risk_multiplier": 0.5, "max_positions": 1}}),
    FollowerRole("chloe", "always 0.10 lot", {"trend": {"volume_mode": 0, "fixed_volume": 10}}),
    FollowerRole("dan", "in reverse", {"trend": {"reverse_direction": 1, "risk_multiplier": 0.2}}),
    FollowerRole("elif", "never GBPUSD", {"trend": {"symbols_mode": 2, "symbols": "GBPUSD"}}),
    FollowerRole("femi", "by equity", {"breakout": {"volume_mode": 2}}, group="real-usdt", balance=20_000),
    FollowerRole("gina", "by balance, max 0.10", {"breakout": {"volume_mode": 3, "max_volume": 10}}, group="real-usdt", balance=40_000),
    FollowerRole("hugo", "a tenth, own stops", {"breakout": {"risk_multiplier": 0.1, "copy_sl": 0, "copy_tp": 0}}),
    FollowerRole("ines", "a demo account", {"reversion": {"risk_multiplier": 0.5}}, group="demo-usd", balance=100_000),
    FollowerRole("jonas", "by equity, in euros", {"reversion": {"volume_mode": 2}}, group="real-eur", balance=25_000),
    FollowerRole(
        "kira",
        "half on each",
        {
            "trend": {"volume_mode": 2, "allocation_percent": 50},
            "reversion": {"volume_mode": 2, "allocation_percent": 50, "copy_partial_close": 0},
        },
        balance=30_000,
        follower={"max_master_count": 2},
    ),
    FollowerRole("own", "the master's own", {"reversion": {"risk_multiplier": 0.1}}, balance=20_000, owner="reversion"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A login that the console offers in a demo, and what there is to see with it."""

    name: str
    words: str
    key: str

    @property
    def email(self) -> str:
        return f"{self.key}@demo.example"


SHOWN = (
    Shown("Kira", "follows two masters, half of the account each", "kira"),
    Shown("Elif", "follows, but skips GBPUSD: every skip says why", "elif"),
    Shown("Cable Reversion", "a master who also copies with an account of its own", "reversion"),
    Shown("Femi", "follows Bitcoin Breakout, by equity", "femi"),
)
