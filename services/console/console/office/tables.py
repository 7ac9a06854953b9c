"""Masters, followers, subscriptions, links and accruals, of all customers."""

from typing import Any

from starlette.responses import RedirectResponse

from console import words
from console.api import Json
from console.figures import LOT, day, lots, money, plain, when
from console.frame import frame
from console.office.browser import Browser, Field, Spec
from console.office.record import record
from console.pages.copying import how
from console.parts import settled
from console.session import admitted
from console.tables import Column

TIMES = (Field("created_time", "Made (Unix seconds)"), Field("updated_time", "Changed (Unix seconds)"))
NONE_MATCH = "No row matches the filter."


def _flag(on: Any, yes: str = "enabled", no: str = "disabled") -> Json:
    return {"enabled": yes if on else no, "enabled_tone": "good" if on else "bad"}


def _master(one: Json) -> Json:
    return {
        "id": one["id"],
        "login": str(one["login"]),
        "strategy_name": one["strategy_name"],
        "customer_id": str(one["customer_id"]),
        "visibility": one["visibility"],
        "allowed_follower_modes": words.ADMITS[one["allowed_follower_modes"]],
        **_flag(one["enabled"]),
        "created_time": when(one["created_time"]),
    }


def _follower(one: Json) -> Json:
    return {
        "id": one["id"],
        "login": str(one["login"]),
        "customer_id": str(one["customer_id"]),
        "max_master_count": one["max_master_count"],
        "manual_trading_mode": words.MANUAL[one["manual_trading_mode"]],
        **_flag(one["enabled"]),
        "created_time": when(one["created_time"]),
    }


def _subscription(one: Json) -> Json:
    good = one["status"] == 0 and one["enabled"] and one["standing"] == "good"
    status = words.STATUS.get(one["status"], "?") if one["standing"] == "good" else words.STANDING.get(one["standing"], "Fee unpaid")
    return {
        "id": one["id"],
        "follower_login": str(one["follower_login"]),
        "master_login": str(one["master_login"]),
        "status": status,
        "status_tone": "good" if good else "warn",
        "how": how(one),
        "created_time": when(one["created_time"]),
    }


def _link(one: Json) -> Json:
    skipped = one["phase"] in {"skipped", "rejected"}
    return {
        "id": one["id"],
        "symbol": one["symbol"],
        "side": one["side"] or "–",
        "side_tone": "info" if one["side"] == "buy" else "",
        "phase": words.PHASE.get(one["phase"], one["phase"]),
        "phase_tone": words.PHASE_TONE.get(one["phase"], "mute"),
        "reason": f"{words.reason(one['reason'])} ({one['reason']})" if one["reason"] else "",
        "volume": "–" if skipped else lots(one["volume"], LOT),
        "master_volume": lots(one["master_volume"], LOT),
        "accounts": f"{one['master_login']} → {one['follower_login']}",
        "orders": f"{one['master_order']} → {one['follower_order'] or '–'}",
        "updated_time": when(one["updated_time"]),
    }


def _accrual(one: Json) -> Json:
    return {
        "id": one["id"],
        "reward_type": words.REWARD.get(one["reward_type"], "?"),
        "state": words.ACCRUAL_STATE.get(one["state"], "?"),
        "state_tone": words.ACCRUAL_TONE.get(one["state"], ""),
        "fee_amount": money(one["fee_amount"], one["currency"]),
        "base_amount": plain(one["base_amount"], 2),
        "accounts": f"{one['follower_login']} → {one['payout_account_login']}",
        "period_to": day(one["period_to"]),
        "failure_reason": f"{words.reason(one['failure_reason'])} ({one['failure_reason']})" if one["failure_reason"] else "",
        "updated_time": when(one["updated_time"]),
    }


LOGIN = Field("login", "Account")
CUSTOMER = Field("customer_id", "Customer")
PAIR = (Field("master_login", "Master's account"), Field("follower_login", "Follower's account"))
TABLES: dict[str, Spec] = {
    "masters": Spec(
        "MngGetCopyMastersByFilter",
        "Masters",
        (
            Column("strategy_name", "Strategy", sortable=True),
            Column("login", "Account", "num", sortable=True),
            Column("customer_id", "Customer", "num", sortable=True),
            Column("enabled", "State", "chip", sortable=True),
            Column("visibility", "Seen", sortable=True),
            Column("allowed_follower_modes", "Admits"),
            Column("created_time", "Made (UTC)", "num", sortable=True),
        ),
        _master,
        (
            LOGIN,
            Field("strategy_name", "Strategy", "text"),
            CUSTOMER,
            Field("enabled", "Enabled (0, 1)"),
            Field("visibility", "Seen", "text"),
            *TIMES,
        ),
        ("auto_graph", "No masters", NONE_MATCH),
    ),
    "followers": Spec(
        "MngGetCopyFollowersByFilter",
        "Followers",
        (
            Column("login", "Account", sortable=True),
            Column("customer_id", "Customer", "num", sortable=True),
            Column("enabled", "State", "chip", sortable=True),
            Column("max_master_count", "Masters at most", "num", sortable=True),
            Column("manual_trading_mode", "Trading by hand", "reason"),
            Column("created_time", "Made (UTC)", "num", sortable=True),
        ),
        _follower,
        (LOGIN, CUSTOMER, Field("enabled", "Enabled (0, 1)"), Field("manual_trading_mode", "Manual trading (0 to 2)"), *TIMES),
        ("group", "No followers", NONE_MATCH),
    ),
    "subscriptions": Spec(
        "MngGetCopySubscriptionsByFilter",
        "Subscriptions",
        (
            Column("id", "Number", sortable=True),
            Column("follower_login", "Follower", "num", sortable=True),
            Column("master_login", "Master", "num", sortable=True),
            Column("status", "State", "chip", sortable=True),
            Column("how", "Settings", "reason"),
            Column("created_time", "Made (UTC)", "num", sortable=True),
        ),
        _subscription,
        (
            *PAIR,
            Field("status", "Status (0 to 2)"),
            Field("volume_mode", "Volume mode (0 to 3)"),
            Field("standing", "Standing", "text"),
            *TIMES,
        ),
        ("sync_alt", "No subscriptions", NONE_MATCH),
    ),
    "links": Spec(
        "MngGetCopyTradeLinksByFilter",
        "Links",
        (
            Column("symbol", "Symbol", sortable=True),
            Column("side", "Side", "chip"),
            Column("phase", "State", "chip", sortable=True),
            Column("reason", "Why", "reason", sortable=True),
            Column("volume", "Lots", "num", sortable=True),
            Column("master_volume", "of the master's", "num", sortable=True),
            Column("accounts", "Master → follower", "num"),
            Column("orders", "Orders", "num"),
            Column("updated_time", "Last change (UTC)", "num", sortable=True),
        ),
        _link,
        (
            *PAIR,
            Field("phase", "State", "text"),
            Field("reason", "Reason's code", "text"),
            Field("symbol", "Symbol", "text"),
            Field("master_order", "Master's order"),
            Field("follower_order", "Follower's order"),
            Field("subscription_id", "Subscription"),
            *TIMES,
        ),
        ("link_off", "No links", NONE_MATCH),
        ("updated_time", "desc"),
    ),
    "accruals": Spec(
        "MngGetCopyRewardAccrualsByFilter",
        "Accruals",
        (
            Column("reward_type", "Reward", sortable=True),
            Column("state", "State", "chip", sortable=True),
            Column("fee_amount", "Amount", "num", sortable=True),
            Column("base_amount", "Reckoned from", "num", sortable=True),
            Column("accounts", "Follower → payout", "num"),
            Column("period_to", "For", "num", sortable=True),
            Column("failure_reason", "Note", "reason", sortable=True),
            Column("updated_time", "Last change (UTC)", "num", sortable=True),
        ),
        _accrual,
        (
            *PAIR,
            Field("state", "State (0 to 4)"),
            Field("reward_type", "Reward type (0 to 4)"),
            Field("fee_amount", "Amount", "number"),
            Field("failure_reason", "Note's code", "text"),
            Field("subscription_id", "Subscription"),
            *TIMES,
        ),
        ("payments", "No accruals", NONE_MATCH),
        ("updated_time", "desc"),
    ),
}
SAID = {
    "masters": "Every strategy that is open, or was made and is closed to the public.",
    "followers": "Every account that may copy.",
    "subscriptions": "Who copies whom, and how.",
    "links": "Every copy and every skip, with the reason of each.",
    "accruals": "Every reward that was reckoned, and what became of it.",
}


async def table(name: str) -> RedirectResponse | None:
    """The page at /office/{name}."""
    who = admitted("manager")
    if isinstance(who, RedirectResponse):
        return who
    if name not in TABLES:
        return RedirectResponse("/office")
    spec = TABLES[name]
    with frame(who, spec.label, f"/office/{name}", SAID[name]):
        panel = Browser(who, spec, on_open=lambda one: record(f"{spec.label}: {one['id']}", one)).draw()
    await settled(panel)
    return None
