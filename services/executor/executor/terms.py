"""The values that a decision is made from: the master's signal, what its symbol means for a follower, the rules and the standing.

All integers (amounts and prices in 1e-8, volumes in units, times in Unix milliseconds), so that a recorded decision can be made again.
"""

from typing import NamedTuple

from executor.distance import Room

RISK_LIMIT = 2
"""`raise_to_min` raises a volume to at most this many times what was wanted."""

HALTED, REDUCE_ONLY = "HALTED", "REDUCE_ONLY"


class Signal(NamedTuple):
    """What a master did, the same for all of its followers.

    `equity` and `balance` are the master's just before the trade, without credit and reward credit. `halted` is a stop of the whole
    venue, the master or the symbol: empty, HALTED or REDUCE_ONLY. `asked` 1: a follower asked for the master's existing positions, which
    are older than any age limit. `pending` 1: a pending order, which names its own price. `now` is when the decision is made. `leverage` is
    the master's for this order, `margin_type` 0 cross or 1 isolated; `led` 0: the master does not lead orders like this one now.
    `closed` 1: the master is known to have closed it already.
    """

    order: int
    login: int
    symbol: str
    side: str
    volume: int
    price: int
    sl: int
    tp: int
    equity: int
    balance: int
    opened_ms: int
    now: int
    enabled: int = 1
    follower_modes: int = 2
    halted: str = ""
    asked: int = 0
    pending: int = 0
    leverage: int = 1
    margin_type: int = 0
    led: int = 1
    closed: int = 0


class Terms(NamedTuple):
    """What the signal's symbol means for the accounts of one group and currency.

    `symbol` is the followers' own name for it, `known` 0 when the venue has no such symbol. `norm_num / norm_den` turns the master's
    volume units into the follower's (contract size and units per lot); `fx_num / fx_den` is one unit of the follower's currency in the
    master's (0: no rate is known). `bid` and `ask` are 0 when no price is known. A volume unit needs `margin_num / margin_den` of
    1e-8 of the follower's currency as margin at leverage 1 (0: not known). Stops and pending prices keep `least` away from the market.
    """

    symbol: str
    known: int
    step: int
    smallest: int
    largest: int
    norm_num: int
    norm_den: int
    fx_num: int
    fx_den: int
    point: int
    bid: int
    ask: int
    margin_num: int
    margin_den: int
    halted: str = ""
    least: int = 0

    @property
    def room(self) -> Room:
        """What the market leaves for stops and pending prices."""
        return Room(self.bid, self.ask, self.least, self.point)


class Rules(NamedTuple):
    """A subscription's settings; `listed` tells whether the signal's symbol is in its list. Percentages and factors in 1e-8.

    From `margin_filter` to `daily_cap` they are the OpenAPI's follow config (`config_rules.py`), 0 where there is none; `invested` is what
    is there without what is reserved, the caps are the most margin that all open copies, and all of a day's, may bind.
    """

    subscription: int
    version: int
    enabled: int
    status: int
    copy_mode: int
    volume_mode: int
    risk_multiplier: int
    fixed_volume: int
    copy_sl: int
    copy_tp: int
    copy_partial_close: int
    copy_pending_orders: int
    reverse_direction: int
    max_volume: int
    min_volume: int
    max_positions: int
    symbols_mode: int
    allocation_percent: int
    raise_to_min: int
    ratio_multiplier: int
    max_slippage_points: int
    max_signal_age_ms: int
    require_sl: int
    margin_filter: int = 0
    zero_slippage: int = 0
    leverage: int = 0
    single_amount: int = 0
    invested: int = 0
    invest_cap: int = 0
    daily_cap: int = 0
    listed: int = 0


class Standing(NamedTuple):
    """Where the follower stands when the decision is made.

    `known` 0: no such account was seen. `equity` and `balance` without credit and reward credit. `copies` are the subscription's links
    that are active, in flight or unknown; `rank` is how many of the follower's active subscriptions are older than this one. `halted` 1
    is a halt, 2 reduce-only; `stopped` 1 a stop for losses that nobody has resumed; `past_due` 1 an unpaid prepaid fee. `bound` is the
    margin that the subscription's open copies bind, `spent` what those of today were opened with (follow configs alone). `had` 1: the
    follower has, or had, a copy of this very order by another subscription, which has ended.
    """

    known: int
    enabled: int
    demo: int
    equity: int
    balance: int
    free_margin: int
    leverage: int
    positions: int
    updated_ms: int
    copies: int
    rank: int
    max_masters: int
    halted: int
    stopped: int
    past_due: int = 0
    bound: int = 0
    spent: int = 0
    had: int = 0


class Policy(NamedTuple):
    """The house's own limits. `max_equity_age_ms` 0: not checked; `margin_slippage` in 1e-8, negative: no margin check."""

    max_equity_age_ms: int
    margin_slippage: int
