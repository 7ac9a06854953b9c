"""All topics in one place: who writes them, who reads them, what is on them; the documentation is made from this."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from shared.contracts import config, links, orders, rewards, stats, trades
from shared.contracts.event import Event


@dataclass(frozen=True, slots=True)
class Topic:
    """A numbered topic. `events` is its tagged union."""

    name: str
    writer: str
    readers: tuple[str, ...]
    about: str
    events: Any

    def types(self) -> list[type[Event]]:
        """The event classes of the union (which may be of one)."""
        inner = get_args(self.events)[0] if get_origin(self.events) is Annotated else self.events
        return list(get_args(inner)) or [inner]


TOPICS = (
    Topic(
        trades.TOPIC,
        "gateway",
        ("api", "executor", "rewards", "stats"),
        "What happened on the venue, told after its commit.",
        trades.TradeEvent,
    ),
    Topic(
        config.TOPIC,
        "api",
        ("executor", "gateway", "rewards", "stats"),
        "The whole state of a master, follower, subscription, reward policy or trading halt after each change.",
        config.ConfigEvent,
    ),
    Topic(
        orders.TOPIC,
        "executor",
        ("gateway",),
        "What the executor wants done on the venue. A row's client order id is derived, so a repeated row is the same order.",
        orders.OrderEvent,
    ),
    Topic(links.TOPIC, "executor", ("api", "stats"), "Each copy decision and each state of a trade link.", links.LinkEvent),
    Topic(
        rewards.TOPIC,
        "rewards",
        ("api", "executor", "gateway", "stats"),
        "Accruals and their states, the balance operations that settle them, and whether a subscription is paid for.",
        rewards.RewardEvent,
    ),
    Topic(stats.TOPIC, "stats", ("api",), "A master's statistics for a period.", stats.StatsEvent),
)
PRICES_ABOUT = "The latest prices. A channel, not a stream: not numbered, may be lost, the latest wins."
PRICES_READERS = ("api", "executor", "rewards", "stats")


def name_of(event: type[Event]) -> str:
    """The event's `type` on the wire."""
    name: str = event.model_fields["type"].default
    return name


def about(event: type[Event]) -> str:
    """What an event says, from its own docstring."""
    own = (event.__doc__ or "").strip() if event.__doc__ != Event.__doc__ else ""
    if own:
        return " ".join(own.split())
    noun, _, verb = name_of(event).partition(".")
    return f"A {noun.replace('_', ' ')} was {verb}: its whole state." if verb else name_of(event)
