"""What the other services would tell, in short, and how a refusal is looked at."""

from decimal import Decimal
from typing import Any

from shared.contracts.links import LinkRow, LinksChanged, LinkState
from shared.contracts.stats import StatsRow

from tests.api.world import BOB_LOGIN, MASTER_LOGIN, NOW_MS, World


def link(number: int, state: LinkState = LinkState.ACTIVE, phase: str = "open", reason: str = "", **more: Any) -> LinkRow:
    row = LinkRow(
        *(number, 1, BOB_LOGIN, 5000 + number, state, phase, reason, "GBPUSD", "buy", 10, 10, 20, 20),
        *(Decimal("1.58013"), Decimal(0), Decimal(0), NOW_MS, NOW_MS),
    )
    return row._replace(**more)


def links(*rows: LinkRow) -> LinksChanged:
    return LinksChanged.of(rows, master_login=MASTER_LOGIN, master_order=1001, master_symbol="GBPUSD")


async def refused(
    world: World, status: int, code: str, who: int | str | None, method: str, path: str, body: Any = None, **more: Any
) -> None:
    response = await world.call(who, method, path, body, **more)
    assert (response.status_code, response.json()["error"]) == (status, code), response.text
    assert set(response.json()) == {"error", "message"}


def stats(period: str, days: int, **more: Any) -> StatsRow:
    history = (*[Decimal(0)] * (days - 1), Decimal("120.50"))
    row = StatsRow(
        *(
            MASTER_LOGIN,
            period,
            days,
            Decimal("8.42"),
            Decimal("8.5"),
            Decimal("1240.50"),
            Decimal("61.54"),
            Decimal("7.8"),
            Decimal("47.71"),
        ),
        *(26, history, "USD", 12, "exact", NOW_MS),
    )
    return row._replace(**more)
