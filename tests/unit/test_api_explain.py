"""Copy decisions in words: the sentences of each kind of decision, held against what the executor records."""

import asyncio
import json
from pathlib import Path
from typing import Any

from api import flow
from executor import config_rules, inputs, limits, sizing
from executor.decide import decide
from executor.terms import Policy, Rules, Signal, Standing, Terms
from lockstep.main import app
from lockstep.stack import Home
from shared.explain import REASONS, Decided, explain, in_words
from shared.symbols import BUY
from typer.testing import CliRunner

from tests.api.told import link, links
from tests.api.world import BOB_LOGIN, MASTER_LOGIN, open_world

ONE = 10**8
SIGNAL = Signal(1001, MASTER_LOGIN, "GBPUSD", "buy", 20, 158_013_000, 157_000_000, 0, 10_000 * ONE, 9_000 * ONE, 1_000, 1_120)
TERMS = Terms("GBPUSD", 1, 1, 1, 10_000, 1, 1, 1, 1, 1_000, 158_000_000, 158_013_000, 0, 0)
RULES = Rules(7, 3, 1, 0, 0, 2, ONE, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 100 * ONE, 0, ONE, 0, 0, 0, 0)
STANDING = Standing(1, 1, 0, 5_500 * ONE, 5_000 * ONE, 4_800 * ONE, 100, 2, 1_000, 1, 0, 1, 0, 0)
POLICY = Policy(0, -1)
LINK = Decided(41, 7, MASTER_LOGIN, BOB_LOGIN, 1001, "open", "")


def recorded(signal: Signal = SIGNAL, rules: Rules = RULES, standing: Standing = STANDING, terms: Terms = TERMS) -> str:
    """A decision's inputs, as the executor writes them."""
    result = decide(signal, terms, rules, standing, POLICY)
    return inputs.recorded(inputs.common(signal, [terms], POLICY), 0, *inputs.of_plain([(rules, standing, result)]))


def told(link: Decided = LINK, own_money: bool = True, **changed: Any) -> dict[str, Any]:
    return explain(link, recorded(**changed), own_money=own_money)


def test_an_equity_ratio_is_told_step_by_step() -> None:
    """20 units x 5500 / 10000 = 11 units."""
    found = told()
    assert (found["link"], found["decision"], found["reason"]) == (41, "copied", "")
    assert found["text"] == [
        "Master 100001 opened a position at 1970-01-01 00:00:01 UTC: order 1001, buy 20 units of GBPUSD at 1.58013, "
        "stop loss 1.57, take profit none.",
        "Account 200001 follows it by subscription 7, settings version 3; decided 120 ms after the trade.",
        "Just before the trade the master's equity was 10000 and its balance 9000.",
        "The follower had, told 120 ms before the decision: equity 5500, balance 5000, free margin 4800, leverage 100.",
        "It had 2 positions open, and this subscription had 1 copies.",
        "Equity ratio: 20 units of the master x 1 (contract size) x 5500 x 1 (currency) / 10000 (equity of follower and master)"
        " x 100 % (allocation) x 1 (ratio multiplier) = 11 units wanted.",
        "Taken down to a step of 1, at most 10000, at least 1: 11 units.",
        "Copied: buy 11 units of GBPUSD, stop loss 1.57, take profit none.",
        "The copy is open now.",
    ]
    assert found["inputs"]["rules"]["version"] == 3
    assert found["inputs"]["result"]["volume"] == 11


def test_the_sizes_of_a_follow_config_are_told() -> None:
    """A unit of 1,000 GBP is worth 1,580.13: 100 x 20 / 1580.13 = 1.265, and 20 units x 1000 x 20 / 10000 / 10 = 4."""
    terms = TERMS._replace(margin_num=158_013 * 10**6, margin_den=1)
    rules = RULES._replace(volume_mode=4, leverage=20, single_amount=100 * ONE, invested=1_000 * ONE)
    found = told(rules=rules, terms=terms)
    assert found["text"][5] == "Fixed amount: 100 a copy x 20 (leverage) / 1580.13 (a unit's value) = 1.265 units wanted."
    found = told(rules=rules._replace(volume_mode=5), terms=terms, signal=SIGNAL._replace(leverage=10))
    assert found["text"][5] == (
        "Fixed rate: 20 units of the master x 1 (contract size) x 1000 (invested) x 1 (currency) x 20 (leverage)"
        " / 10000 (equity of the master) / 10 (leverage of the master) = 4 units wanted."
    )


def test_a_skip_says_why_in_plain_words() -> None:
    paused = told(LINK._replace(phase="skipped", reason="PAUSED"), rules=RULES._replace(status=1))
    assert (paused["decision"], paused["reason"]) == ("skipped", "PAUSED")
    assert paused["text"][-2:] == [
        "No volume was reckoned: the copy was held back before.",
        "Not copied (PAUSED): the subscription is paused.",
    ]
    small = told(LINK._replace(phase="skipped", reason="BELOW_MIN"), rules=RULES._replace(volume_mode=1, risk_multiplier=1_000_000))
    assert small["text"][-3:] == [  # 20 x 0.01 = 0.2
        "Multiplier: 20 units of the master x 1 (contract size) x 0.01 (risk multiplier) = 0.2 units wanted.",
        "Taken down to a step of 1, at most 10000, at least 1: nothing is left.",
        "Not copied (BELOW_MIN): the volume came to less than the least that can be traded.",
    ]
    nobody = told(LINK._replace(phase="skipped", reason="ACCOUNT_UNKNOWN"), standing=STANDING._replace(known=0))
    assert f"Nothing was known of account {BOB_LOGIN}." in nobody["text"]


def test_the_other_settings_show() -> None:
    rules = RULES._replace(volume_mode=0, fixed_volume=5, reverse_direction=1, max_slippage_points=10, raise_to_min=1)
    found = told(rules=rules, signal=SIGNAL._replace(asked=1), terms=TERMS._replace(bid=158_010_000))["text"]
    assert found[1].endswith("decided 120 ms after the trade, because the follower asked for the master's existing positions.")
    # reversed: the master's take profit (none) is the copy's stop loss; 10 points of 0.00001 below 1.58013 is 1.58003
    assert "Fixed volume: 5 units = 5 units wanted." in found
    assert "at least 1 (less is raised to it, up to twice what was wanted): 5 units." in found[-3]
    assert found[-2] == (
        "Copied: sell 5 units of GBPUSD (the other side: the subscription is reversed), stop loss none, take profit 1.57, "
        "not to be filled beyond 1.58003."
    )
    pending = told(signal=SIGNAL._replace(pending=1))["text"]
    assert "placed a pending order" in pending[0]
    balance = told(rules=RULES._replace(volume_mode=3))["text"]
    assert any("Balance ratio: " in line and "x 5000 x 1 (currency) / 9000 (balance" in line for line in balance)


def test_what_became_of_it_since() -> None:
    refused = told(LINK._replace(phase="rejected", reason="NOT_ENOUGH_MONEY"))
    assert (refused["decision"], refused["text"][-1]) == (
        "rejected",
        "The venue refused it (NOT_ENOUGH_MONEY): the account had not enough money.",
    )
    assert told(LINK._replace(phase="closed", reason="SL"))["text"][-1] == "The copy is closed since (SL)."
    assert told(LINK._replace(phase="detached", reason="UNSUBSCRIBED"))["text"][-1] == "The copy is detached (UNSUBSCRIBED)."


def test_a_master_is_not_told_what_money_the_follower_has() -> None:
    found = told(own_money=False)
    assert "5500" not in json.dumps(found)
    assert "4800" not in json.dumps(found)
    assert any("the follower's own x 1 (currency) / 10000" in line for line in found["text"])


def test_without_inputs_there_is_what_the_link_says() -> None:
    found = explain(LINK._replace(phase="skipped", reason="MARGIN"), "")
    assert found["inputs"] == {}
    assert found["text"][-1] == "It was not copied (MARGIN): the follower's free margin does not carry it."


def test_every_reason_of_the_executor_has_words() -> None:
    def codes(module: Any) -> set[str]:
        return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}

    assert (codes(limits) | codes(sizing) | codes(config_rules)) - {BUY} <= REASONS.keys()
    assert in_words("SOMETHING_NEW") == "SOMETHING_NEW"


def test_the_command_tells_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    run = CliRunner().invoke
    asked = ["explain", "41", "--home", str(home.path)]
    assert "there is no store" in run(app, asked).output

    async def fill() -> None:
        async with open_world(home.path) as world:
            made = links(link(41, subscription=7)).model_copy(update={"inputs": recorded()})
            await world.told(flow.on_links, made)

    asyncio.run(fill())
    result = run(app, asked)
    assert (result.exit_code, result.output.splitlines()) == (0, told()["text"])
    assert json.loads(run(app, [*asked, "--json"]).output)["inputs"] == told()["inputs"]
    unknown = run(app, ["explain", "42", "--home", str(home.path)])
    assert (unknown.exit_code, "there is no trade link 42" in unknown.output) == (1, True)
