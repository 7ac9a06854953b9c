"""Codes and enum values in words: what a person reads instead of numbers and reasons. Pure."""

from shared.explain import REASONS

REWARD = {
    0: "Subscription fee",
    1: "Performance fee",
    2: "Volume rebate",
    3: "Profit share per trade",
    4: "Management fee",
}
REWARD_HINT = {
    0: "A fixed fee for each period of following, whatever the result.",
    1: "A share of the profit of each period, above the highest result so far.",
    2: "An amount for each lot that a follower trades by copying.",
    3: "A share of each copied trade that closes with a profit.",
    4: "A running fee for managing: an amount, or a yearly percentage of the copied equity.",
}
PERIOD = {
    "one_time": "once",
    "per_trade": "with each trade",
    "daily": "every day",
    "weekly": "every week",
    "monthly": "every month",
    "quarterly": "every quarter",
}
STATS_PERIOD = {"7D": "7 days", "30D": "30 days", "90D": "90 days", "365D": "1 year"}
ADMITS = {0: "real accounts only", 1: "demo accounts only", 2: "real and demo accounts"}
MANUAL = {
    0: "Copied trades only: no manual trading",
    1: "Manual trading, but copied positions are left alone",
    2: "Manual trading of everything",
}
STATUS = {0: "Active", 1: "Paused", 2: "Disabled"}
COPY_MODE = {
    0: "Opens and closes",
    1: "Opens only: what is opened is mine to close",
    2: "Closes only: nothing new is opened",
}
VOLUME_MODE = {
    0: "Fixed volume",
    1: "Multiple of the master's volume",
    2: "In proportion to equity",
    3: "In proportion to balance",
}
SYMBOLS_MODE = {0: "All symbols", 1: "Only these symbols", 2: "All but these symbols"}
SMALL_VOLUME = {"skip": "is skipped", "raise_to_min": "is raised to the least, up to twice what was wanted"}
STOP_ACTION = {"halt": "stop opening", "close": "close all copies and stop"}
BASIS = {
    "": "the house's usual basis",
    "cumulative": "cumulative profit of closed copies",
    "gross_equity": "the account's equity",
    "nav_per_share": "value per share (deposits taken out)",
    "period": "each period by itself",
}
NETTING = {"none": "each trade by itself", "daily": "net of the day's losses", "weekly": "net of the week's losses"} | {
    "monthly": "net of the month's losses"
}
SIDES = {"both": "opening and closing", "open": "opening only", "close": "closing only"}
ACCRUAL_STATE = {0: "Pending", 1: "Charged", 2: "Paid", 3: "Failed", 4: "Cancelled"}
ACCRUAL_TONE = {0: "info", 1: "info", 2: "good", 3: "bad", 4: "mute"}
PHASE = {
    "skipped": "Skipped",
    "opening": "Opening",
    "pending": "Pending order",
    "open": "Open",
    "closing": "Closing",
    "closed": "Closed",
    "rejected": "Refused",
    "detached": "Detached",
    "cancelled": "Cancelled",
}
PHASE_TONE = {"open": "good", "opening": "info", "pending": "info", "closing": "info", "skipped": "warn", "rejected": "bad"}
LINK_STATE = {0: "Active", 1: "Closed", 2: "Failed", 3: "Cancelled"}
STANDING = {"good": "Paid up", "close_only": "Fee unpaid: closes only", "disabled": "Fee unpaid: stopped"}
ENDS = {
    "MASTER_CLOSED": "the master closed it",
    "FOLLOWER_CLOSED": "you closed it",
    "SL": "the stop loss was reached",
    "TP": "the take profit was reached",
    "STOP_OUT": "the account was stopped out",
    "UNSUBSCRIBED": "the subscription ended",
    "UNKNOWN": "the venue has not answered yet; the same order is asked for again",
    "DEMO": "a demo account is never charged",
    "OWN": "the master's own account: no reward",
    "NO_GAIN": "no profit, so no share of it",
    "NO_FEE": "the fee comes to nothing",
    "NO_VOLUME": "nothing was traded",
    "NO_EQUITY": "there was no equity to take a fee of",
    "NOT_ACTIVE": "the subscription was not active in this time",
    "NOTHING_UNUSED": "the paid time was used up",
    "ROUNDS_TO_ZERO": "it comes to less than the smallest unit of the currency",
    "LESS_THAN_A_UNIT": "it comes to less than the smallest unit of the currency",
    "NETTED": "settled with the losses of the same period",
    "CAPPED": "cut off at the agreed most",
    "MISSING": "the venue does not have it any more",
    "VOLUME_DRIFT": "the venue holds another volume: repaired",
}
ROLE = {
    "SESSION_MANAGER": "Manager",
    "SESSION_ADMIN": "Administrator",
    "SESSION_DEALER": "Dealer",
    "SESSION_CRM_MANAGER": "CRM manager",
    "SESSION_CRM_ADMIN": "CRM administrator",
    "SESSION_READ_ONLY": "Read only",
}
ERRORS = {
    "INVALID_DATA": "Something in the form is not as it has to be",
    "ACCOUNT_NOT_FOUND": "The account is not known",
    "MASTER_ACCOUNT_MUST_BE_REAL": "Only a real account can become a master",
    "REWARD_POLICY_REQUIRED": "Say how the strategy is rewarded",
    "INVALID_REWARD_POLICY": "The reward is not as it has to be",
    "INVALID_PAYOUT_ACCOUNT": "Rewards can only be paid to one of your own accounts",
    "INVALID_CUSTOMER_SESSION": "Your session has ended: log in again",
    "INVALID_MANAGER_SESSION": "Your session has ended: log in again",
    "INVALID_ACCOUNT": "This account is not yours",
    "PERMISSION_DENIED": "You may not do this",
    "MASTER_NOT_FOUND": "There is no such master",
    "MASTER_NOT_AVAILABLE": "This master is not open to you",
    "FOLLOWER_NOT_FOUND": "This account is not set up to follow yet",
    "FOLLOWER_MODE_NOT_ALLOWED": "This master does not admit this kind of account",
    "CUSTOMER_NOT_FOUND_OR_INCORRECT": "E-mail or password is wrong",
    "CUSTOMER_DISABLED": "This login is disabled",
    "OTP_REQUIRED": "A one-time code is needed",
    "INVALID_OTP_CODE": "The one-time code is wrong or was used before",
    "OTP_NOT_CONFIGURED": "This login has no one-time code: leave it empty",
    "RET_ERR_NOTFOUND": "This is no longer there",
    "NOT_FOUND": "This is not there",
    "UNKNOWN_COMMAND": "The api is older than this console",
    "MASTER_ALREADY_EXISTS": "This account is a master already",
    "FOLLOWER_ALREADY_EXISTS": "This account is set up to follow already",
    "SUBSCRIPTION_ALREADY_EXISTS": "This account follows this master already",
    "COPY_CYCLE": "The two accounts would copy each other in a circle",
    "MAX_MASTER_COUNT": "This account follows as many masters as it may",
    "ALLOCATION_EXCEEDED": "More than 100 % of the account would be allocated",
    "ACTIVE_LINKS": "Copied positions are still open: say what becomes of them",
    "CONFLICT": "Another change came first: try again",
    "PRECONDITION_FAILED": "This was changed meanwhile: look at it again",
    "TOO_MANY_REQUESTS": "Too many requests at once",
    "INTERNAL": "The server made a mistake",
    "UNAVAILABLE": "The server is busy starting or recovering: try again in a moment",
    "AWAY": "The server does not answer: it may be restarting",
}


def error(code: str) -> str:
    """An error code in words; one that is not known here says so by its name alone."""
    return ERRORS.get(code, "The request was refused")


def reason(code: str) -> str:
    """Why a copy was skipped, refused or closed, as a sentence."""
    words = ENDS.get(code) or REASONS.get(code, code)
    return words[:1].upper() + words[1:]
