"""What the rewards service is told when it starts."""

from typing import Literal

from pydantic import Field
from shared.settings import ShardedSettings


class RewardsSettings(ShardedSettings):
    """Each field is the environment variable `LOCKSTEP_<NAME>`."""

    retry_schedule_s: tuple[int, ...] = Field(default=(60, 300, 1800, 7200, 21600, 86400), min_length=1)
    """Seconds from one refusal to the next attempt; the last is repeated."""
    retry_max: int = Field(default=30, ge=1)
    """Attempts of a charge that is refused for want of money, before it is given up."""
    answer_window_s: float = Field(default=30, gt=0)
    """Seconds without an answer after which the same request is sent again."""
    keep_margin_level: int = Field(default=100, ge=0)
    """Margin level in percent that a charge must leave to the follower (0: free margin alone)."""
    clock_tolerance_s: float = Field(default=3600, ge=0)
    """How wrong a clock may be: a period ends when the venue has spoken after its end, or so long after it."""
    cut_grace_s: float = Field(default=2, ge=0)
    """Seconds after an unsubscription or a change of policy until the period that it cut is billed."""
    first_period: Literal["full", "pro_rata"] = "full"
    """What the first, shorter period of a subscription fee costs."""
    hwm_basis: Literal["cumulative", "gross_equity", "nav_per_share", "period"] = "cumulative"
    """The basis of performance fees whose policy names none."""
    hwm_withdrawal: Literal["additive", "proportional"] = "additive"
    """What a withdrawal does to the mark of the basis `gross_equity`."""
    unrealised_mode: Literal["none", "negative_only", "full"] = "negative_only"
    """How open copies count in a performance fee at a period's end."""
    on_detach: Literal["mark_to_market", "realised"] = "mark_to_market"
    """How open copies count when a subscription ends."""
    fee_base: Literal["net_of_fees", "gross"] = "net_of_fees"
    """Whether the other copy fees are taken from the profit that a performance fee is charged on."""
    past_due_grace_s: float = Field(default=3 * 86400, ge=0)
    """Seconds that an unpaid subscription fee is left before the subscription may only close."""
    past_due_disable_s: float = Field(default=14 * 86400, ge=0)
    """Seconds that an unpaid subscription fee is left before the subscription is disabled."""
    timer_s: float = Field(default=1, gt=0)
    """Seconds between two looks for what is due."""
