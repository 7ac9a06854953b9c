"""What a chart's axis says."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from console.charts import days


@pytest.mark.parametrize("zone", ["UTC", "Europe/Nicosia", "America/New_York", "Pacific/Auckland"])
def test_days_are_named_as_the_broker_counts_them(zone: str) -> None:
    """Three days that end with the one that began at the broker's midnight of 30 March 2026, across a change of summer time in Nicosia."""
    began = datetime(2026, 3, 30, tzinfo=ZoneInfo(zone))
    assert days(int(began.timestamp()), 3, ZoneInfo(zone)) == ["28 Mar 2026", "29 Mar 2026", "30 Mar 2026"]
