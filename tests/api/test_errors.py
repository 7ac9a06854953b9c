"""Every error code of the doors, provoked."""

from pathlib import Path
from typing import Any

import pytest
from api.errors import STATUS

from tests.api.routes import MNG
from tests.api.world import BOB, World

pytestmark = pytest.mark.anyio


async def test_what_is_there_already(world: World) -> None:
    await world.pair()

    async def refused(command: str, data: Any) -> Any:
        answer = await world.call(MNG, "POST", f"/manager/{command}", data)
        assert answer.status_code == 409
        return answer.json()["error"]

    policy = {"master_id": 1, "reward_type": 3, "fee_percent": 5}
    assert await refused("MngCreateCopyRewardPolicy", policy) == "POLICY_ALREADY_EXISTS"
    customer = {"id": BOB, "email": "bob@example.com", "password": "correct horse"}
    await world.good(MNG, "POST", "/manager/MngCreateCustomer", customer)
    assert await refused("MngCreateCustomer", customer | {"email": "other@example.com"}) == "CUSTOMER_ALREADY_EXISTS"
    assert await refused("MngCreateCustomer", customer | {"id": 99, "email": "BOB@example.com"}) == "CUSTOMER_ALREADY_EXISTS"


def test_every_error_code_is_provoked() -> None:
    folder = Path(__file__).parent
    source = "".join(path.read_text() for path in folder.glob("test_*.py"))
    assert [code for code in STATUS if f'"{code}"' not in source] == []
