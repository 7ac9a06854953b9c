"""The wire: each event's JSON as it stands today, and what a reader makes of older and newer writers."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from shared.contracts import config, orders
from shared.contracts.event import Batch, Event, Lost

from tests.contracts.golden import EVENTS, FOLDER, TOPICS, name_of


@pytest.mark.parametrize(("topic", "event_type"), EVENTS, ids=[name_of(event_type) for _, event_type in EVENTS])
def test_an_event_reads_as_it_did_when_it_was_first_written(topic: str, event_type: type[Event]) -> None:
    """A golden file is written once for an event and never changed: what an older writer sent has to be read for ever."""
    path = FOLDER / f"{name_of(event_type)}.json"
    sent = json.loads(path.read_text())
    read = TypeAdapter(TOPICS[topic]).validate_json(path.read_text())
    assert type(read) is event_type
    again = json.loads(read.model_dump_json())
    assert _holds(again, {field: value for field, value in sent.items() if field not in {"rows", "structure"}})
    if "rows" in sent:
        width = len(sent["structure"])
        assert again["structure"][:width] == sent["structure"], "columns are only ever added, last"
        assert [row[:width] for row in again["rows"]] == sent["rows"]


def test_every_event_type_has_a_name_of_its_own() -> None:
    names = [name_of(event_type) for _, event_type in EVENTS]
    assert len(names) == len(set(names))


ROW = [11, 100002, "buy", 30, "1.57", "0", 7, "0", 0, 0]


def open_event(structure: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    head = {"type": "copy.open", "master_order": 1001, "master_login": 100001, "symbol": "GBPUSD", "price": "1.5757"}
    return head | {"structure": structure, "rows": rows}


def test_a_column_that_the_reader_does_not_know_is_left_out() -> None:
    structure = ["new", *orders.OpenRow._fields]
    event = orders.ORDER_EVENTS.validate_python(open_event(structure, [["?", *ROW]]))
    assert isinstance(event, orders.OpenCopies)
    assert event.rows == (orders.OpenRow(11, 100002, "buy", 30, Decimal("1.57"), Decimal(0), 7, Decimal(0), 0, 0),)


def test_a_column_that_an_older_writer_did_not_send_has_its_default() -> None:
    event = orders.ORDER_EVENTS.validate_python(open_event(list(orders.OpenRow._fields[:-1]), [ROW[:-1]]))
    assert isinstance(event, orders.OpenCopies)
    assert event.rows[0].margin_type == 0


def test_columns_that_all_rows_share_may_be_told_once() -> None:
    structure, rows = ["link", "login", "volume", "subscription"], [[11, 100002, 30, 7], [12, 100003, 40, 8]]
    same = {"side": "buy", "sl": "1.57", "tp": "0", "worst_price": "0", "new": "?"}
    event = orders.ORDER_EVENTS.validate_python(open_event(structure, rows) | {"same": same})
    assert isinstance(event, orders.OpenCopies)
    assert event.structure == orders.OpenRow._fields[:-2]
    assert event.rows == (
        orders.OpenRow(11, 100002, "buy", 30, Decimal("1.57"), Decimal(0), 7, Decimal(0)),
        orders.OpenRow(12, 100003, "buy", 40, Decimal("1.57"), Decimal(0), 8, Decimal(0)),
    )
    assert "same" not in json.loads(event.model_dump_json())


@pytest.mark.parametrize("row", [[11, 100002, 30], 11, {}])
def test_a_row_without_a_value_for_each_column_is_refused(row: Any) -> None:
    sent = open_event(["link", "login", "volume", "subscription"], [row]) | {"same": {"side": "buy"}}
    with pytest.raises(ValidationError, match="not a value for each column"):
        orders.ORDER_EVENTS.validate_python(sent)


@pytest.mark.parametrize(
    ("column", "value"),
    [("volume", "many"), ("volume", 1.5), ("sl", "NaN"), ("sl", "Infinity"), ("side", "long"), ("login", None)],
)
def test_a_bad_value_in_a_row_is_refused(column: str, value: Any) -> None:
    row = list(ROW)
    row[orders.OpenRow._fields.index(column)] = value
    with pytest.raises(ValidationError):
        orders.ORDER_EVENTS.validate_python(open_event(list(orders.OpenRow._fields), [row]))


def test_a_row_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValidationError):
        orders.ORDER_EVENTS.validate_python(open_event(list(orders.OpenRow._fields), [ROW[:4]]))


def test_amounts_travel_as_plain_decimal_strings() -> None:
    row = orders.OpenRow(1, 2, "buy", 3, Decimal("1E+3"), Decimal("1E-7"), 4, Decimal("1.50"))
    sent = json.loads(orders.OpenCopies.of([row], master_order=1, master_login=2, symbol="X", price=Decimal("2")).model_dump_json())
    assert sent["rows"] == [[1, 2, "buy", 3, "1000", "0.0000001", 4, "1.50", 0, 0]]
    assert sent["structure"][:6] == ["link", "login", "side", "volume", "sl", "tp"]


def test_events_are_frozen() -> None:
    event = orders.SyncAccounts(logins=(1,), request="r")
    with pytest.raises(ValidationError):
        event.request = "other"  # type: ignore[misc]


def test_a_batch_names_its_source_its_causes_and_what_it_stands_for() -> None:
    batch = Batch.model_validate_json('{"source":"api","sent":5,"after":{"trade.push":7},"lost":[3,9],"events":[{"type":"x"}],"later":1}')
    assert (batch.source, batch.after, batch.lost, len(batch.events)) == ("api", {"trade.push": 7}, Lost(3, 9), 1)


def test_the_reward_matrix_is_the_specifications() -> None:
    matrix = {
        int(kind): (rule.billing_periods, rule.billing_required, rule.figure, rule.hwm) for kind, rule in config.REWARD_MATRIX.items()
    }
    assert matrix == {
        0: (("monthly", "weekly", "one_time"), True, "fee_amount", False),
        1: (("monthly", "quarterly"), True, "fee_percent", True),
        2: (("daily", "weekly", "monthly"), True, "fee_amount", False),
        3: (("per_trade",), False, "fee_percent", False),
        4: (("monthly", "quarterly"), True, "fee_amount", False),
    }


def _holds(again: Any, sent: Any) -> bool:
    """Whether everything that was sent is there still; a state or a row inside an event may have grown fields since."""
    if isinstance(sent, dict):
        return all(field in again and _holds(again[field], value) for field, value in sent.items())
    if isinstance(sent, list):
        return len(again) >= len(sent) and all(_holds(now, value) for now, value in zip(again, sent, strict=False))
    return bool(again == sent)
