"""Shards: a service that acts for followers can be split by follower, each part with a store, an outbox and streams of its own.

Every shard reads all of its topics and acts for its own followers. The first shard writes to the topic's own stream, the others to
`TOPIC.NUMBER`, so that a service that was never split is the first shard of one.
"""

from typing import NamedTuple, Self

ID_BITS = 40
"""Ids that a shard draws begin at (number - 1) * 2**40: no two shards draw the same, and 2**13 shards stay within what JSON's readers
can hold exactly (2**53)."""


class Shard(NamedTuple):
    """Number `number` of `of` parts, counted from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """A shard as it is written in settings, for example `2/8`. Raises ValueError."""
        number, _, of = text.partition("/")
        if not (text.isascii() and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise ValueError(f"{text!r} is no shard: write it as 2/8, the second of eight")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def owns(self, follower_login: int) -> bool:
        """Whether this shard acts for a follower. Logins are handed out one after the other, so they spread evenly."""
        return follower_login % self.of == self.number - 1

    @property
    def ids_after(self) -> int:
        """Ids drawn by this shard are greater than this."""
        return (self.number - 1) << ID_BITS


def numbered(name: str, number: int) -> str:
    """The name of a shard's stream, store or process: the plain name for the first."""
    return name if number == 1 else f"{name}.{number}"


def streams(topic: str, shards: int) -> list[str]:
    """All streams of a topic whose writer has that many shards."""
    return [numbered(topic, number) for number in range(1, shards + 1)]
