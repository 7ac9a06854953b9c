"""What people do with the console, on a real stack in a real browser, on a desktop and on a phone: only the own host is asked, no error is
logged, nothing is wider than the screen. Left out where there is no Chromium."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.console.browser import SIZES, Stack, Watched, chromium, launched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium(), reason="no Chromium on this machine: `apt-get install chromium`, or CHROMIUM=/path/to/it"),
]

FIELDS = {
    "Subscription fee": (["Charged", "Fee for each period"], "25", "You pay 25.00 USD every month"),
    "Performance fee": (["Charged", "Share of profit"], "20", "Only profit above the highest result so far counts"),
    "Volume rebate": (["Charged", "Amount a lot"], "3", "You pay 3.00 USD for each lot"),
    "Profit share per trade": (["Share of profit"], "15", "a loss costs no fee"),
    "Management fee": (["Charged", "Charged as", "Fee for each period"], "40", "You pay 40.00 USD, charged every month"),
}
"""Which fields each reward model shows, what is filled in, and what followers then read."""
RESTART_MS = 90_000
"""How long a killed api may take to be there again, on a busy machine."""
MOST_FIELDS = max(FIELDS, key=lambda model: len(FIELDS[model][0]))
"""The one that a phone has to show."""
ALL_FIELDS = sorted({name for names, _, _ in FIELDS.values() for name in names})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all journeys: Max's strategy takes a fifth of each profit."""
    running = Stack(tmp_path_factory.mktemp("console") / "home", "--no-demo")
    try:
        running.ready()
        running.price(1.5)
        number, [login] = running.person("max")
        policy = {"reward_type": 3, "fee_percent": 20}
        master = {"login": login, "strategy_name": "Conservative FX", "description": "Low risk, major pairs", "visibility": "public"}
        running.customer(number, "POST", "/copytrade/master", master | {"reward_policy": policy})
        running.master = login  # type: ignore[attr-defined]
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture
def person(browser: Browser, stack: Stack) -> Iterator[Callable[[str], Watched]]:
    """Somebody in front of a screen of a size; at the end nothing may have gone wrong on it."""
    opened: list[Watched] = []

    def at(size: str) -> Watched:
        opened.append(Watched(browser, stack, size))
        return opened[-1]

    yield at
    for one in opened:
        one.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_follower_finds_a_master_subscribes_and_sees_a_copy_and_its_reward(
    stack: Stack, person: Callable[[str], Watched], size: str
) -> None:
    name = f"fay-{size}"
    _, [login] = stack.person(name)
    master: int = stack.master  # type: ignore[attr-defined]
    fay = person(size)
    fay.log_in(name)
    fay.fits()

    # The marketplace: a filter that nobody passes, and back; a search that minds no case.
    fay.press("Filters")
    fay.page.get_by_label("Trades at least").fill("100000")
    fay.press("Show masters")
    fay.see("No master matches")
    fay.press("Clear search and filters")
    fay.see("1 master")
    fay.page.get_by_label("Search masters").fill("conservative")
    fay.follow("Conservative FX")

    # The master: its terms in words, with an example.
    fay.see("You pay 20 % of the profit of each copied trade")
    fay.see("1,000.00 USD × 20 % = 200.00 USD")
    fay.fits()

    # The subscription: only the fields of the mode, and a preview.
    fay.press("Copy this master")
    fay.see("What the last trades would have brought")
    expect(fay.page.get_by_label("Times the master's volume")).to_be_visible()
    fay.choose("Volume", "Fixed volume")
    expect(fay.page.get_by_label("Each copy")).to_be_visible()
    expect(fay.page.get_by_label("Times the master's volume")).to_have_count(0)
    fay.choose("Volume", "Multiple of the master's volume")
    fay.page.get_by_label("Times the master's volume").fill("0.5")
    fay.fits()
    fay.press("Start copying")
    fay.see(f"Account {login}")
    fay.see("0.5 × the master's volume")
    fay.see("Live", exact=True)

    # The master buys a lot: half of it appears by itself, and closes with a profit of 500.
    order = stack.order(master)
    fay.see("0.50")
    fay.see("Open", exact=True)
    fay.fits()
    stack.price(1.5101)
    fay.see("+500.00 USD")
    stack.venue("POST", f"/orders/{order}/close", {})
    fay.see("The master closed it")

    # A fifth of it is the master's; the statement says so.
    fay.open("/rewards")
    fay.see("Profit share per trade")
    fay.see("Paid", exact=True)
    fay.see("100.00 USD")
    fay.fits()
    fay.press("Statement")
    fay.see("Charged in this time")
    with fay.page.expect_download() as download:
        fay.press("CSV")
    assert "profit_share" in Path(download.value.path()).read_text()
    stack.price(1.5)

    # And it ends, when that is confirmed.
    fay.open("/copying")
    fay.press("Stop copying")
    fay.see("What becomes of the copies that are open?")
    fay.page.get_by_role("alertdialog").get_by_role("button", name="Stop copying").click()
    fay.see("This account follows nobody at the moment.")


@pytest.mark.parametrize("size", SIZES)
def test_the_wizard_makes_a_master_of_each_reward_model_with_its_fields_alone(
    stack: Stack, person: Callable[[str], Watched], size: str
) -> None:
    name = f"mia-{size}"
    stack.person(name, accounts=len(FIELDS))
    mia = person(size)
    mia.log_in(name)
    models = FIELDS if size == "desktop" else {MOST_FIELDS: FIELDS[MOST_FIELDS]}
    for model, (fields, figure, words) in models.items():
        mia.open("/strategies/new")
        mia.page.get_by_label("Name").fill(f"{model} of mine")
        mia.choose("Visibility", "Only I see it")
        mia.press("Next")
        mia.page.get_by_role("radio", name=model).click()
        for field in ALL_FIELDS:
            expect(mia.field(field)).to_have_count(1 if field in fields else 0)
        expect(mia.page.get_by_text("High-water mark: only new profit counts")).to_have_count(1 if model == "Performance fee" else 0)
        mia.field(fields[-1]).fill(figure)
        mia.see(words)
        mia.fits()
        mia.press("Next")
        mia.see(f"{model} of mine")
        mia.press("Open the strategy")
        mia.page.wait_for_url("**/strategies")
        mia.see(f"{model} of mine")
    mia.fits()


@pytest.mark.parametrize("size", SIZES)
def test_a_manager_halts_resumes_and_has_a_dead_letter_handled(stack: Stack, person: Callable[[str], Watched], size: str) -> None:
    olga = person(size)
    olga.enter_office()
    olga.see("trade.push")
    olga.see("level", exact=True)
    olga.fits()
    olga.open("/office/halt")
    olga.see("running", exact=True)
    olga.press("Halt all copying")
    olga.page.get_by_label("Reason").fill("a drill")
    olga.press("Halt now")
    olga.see("by a manager: a drill.")
    olga.fits()
    olga.press("Resume all copying")
    olga.page.get_by_role("alertdialog").get_by_role("button", name="Resume").click()
    olga.see("running", exact=True)

    stack.dead_letter()
    olga.open("/office/letters")
    olga.see("Waits", exact=True)
    olga.see("KeyError: 'for the test'")
    olga.fits()
    olga.page.get_by_text("KeyError: 'for the test'").locator("visible=true").first.click()
    olga.see('"source": "gateway"')
    olga.press("Close")
    olga.page.get_by_role("button", name=re.compile("Retry letter")).first.click()
    olga.page.get_by_role("alertdialog").get_by_role("button", name="Retry").click()

    def handled() -> bool:
        olga.press("Refresh")
        olga.page.wait_for_timeout(500)
        return olga.page.get_by_text("Handled since").count() > 0 and olga.page.get_by_text("Waits", exact=True).count() == 0

    stack.until(handled, "the letter was not handled again", 20)

    # Everything that was done is on record.
    olga.open("/office/audit")
    olga.see("resume")
    olga.open("/office/masters")
    olga.press("Add a filter")
    olga.choose("Field", "Strategy")
    olga.choose("Comparison", "contains")
    olga.page.get_by_label("Value").fill("Conservative")
    olga.press("Apply")
    olga.see("Conservative FX")
    olga.see("1-1 of 1")
    olga.fits()


def test_a_lost_connection_says_so_and_comes_back(stack: Stack, person: Callable[[str], Watched]) -> None:
    _, [login] = stack.person("leo")
    leo = person("desktop")
    leo.log_in("leo")
    leo.follow("Conservative FX")
    leo.press("Copy this master")
    leo.press("Start copying")
    leo.see(f"Account {login}")
    leo.see("Live", exact=True)
    stack.kill("api")
    leo.see("Connection lost, trying again")
    leo.see("Live", exact=True, timeout_ms=RESTART_MS)
    # What happened meanwhile or after it is told without a reload.
    order = stack.order(stack.master)  # type: ignore[attr-defined]
    leo.see("Open", exact=True)
    stack.venue("POST", f"/orders/{order}/close", {})
