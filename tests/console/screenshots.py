"""The pictures of `docs/console.md`: `python -m tests.console.screenshots` starts a demo of its own and writes `docs/screenshots`."""

import json
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser

from tests.console.browser import SIZES, Stack, Watched, chromium, launched

OUT = Path("docs/screenshots")
TRADING_S = 240
"""The demo trades for a while first, so that there is something to see."""
COPIES = 60
TRADER = {"market": "/", "master": "/master/100003", "copying": "/copying", "rewards": "/rewards"}
MASTER = {"strategies": "/strategies"}
OFFICE = {"overview": "/office", "links": "/office/links", "halt": "/office/halt", "audit": "/office/audit"}
NIGHT = {True: "dark", False: "light"}


def main() -> None:
    if not chromium():
        sys.exit("no Chromium on this machine: apt-get install chromium, or CHROMIUM=/path/to/it")
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "home")
        try:
            stack.ready()
            stack.until(lambda: _copies(stack) >= COPIES, "the demo did not trade", TRADING_S)
            with launched() as browser:
                for size in SIZES:
                    _shoot(browser, stack, size)
        finally:
            stack.stop()


def _copies(stack: Stack) -> int:
    time.sleep(1)
    try:
        return int(stack.manager("MngGetCopyTradeLinksByFilter", {"limit": 1, "where": [["phase", "=", "closed"]]})["count"])
    except httpx.HTTPError:
        return 0


def _shoot(browser: Browser, stack: Stack, size: str) -> None:
    """Every page at a size, dark and light: the login, what a follower sees, what a master sees, and the back office."""
    demo = json.loads(stack.home.demo_file.read_text())
    for email, pages in (("", {"login": "/login"}), ("kira", TRADER), ("reversion", MASTER), ("office", OFFICE)):
        seen = Watched(browser, stack, size)
        seen.open("/login")
        if email == "office":
            seen.page.get_by_role("button", name="Back office").first.click()
        elif email:
            seen.page.get_by_label("E-mail").fill(f"{email}@demo.example")
            seen.page.get_by_label("Password").fill(demo["password"])
            seen.press("Log in")
        if email:
            seen.page.wait_for_url(lambda url: "/login" not in url)
        for dark, theme in NIGHT.items():
            if not dark:
                seen.page.get_by_role("button", name="Switch between dark and light").locator("visible=true").first.click()
                seen.page.wait_for_timeout(500)
            for name, path in pages.items():
                seen.open(path)
                seen.page.wait_for_timeout(1500)
                seen.fits()
                seen.page.screenshot(path=OUT / f"{name}-{size}-{theme}.png")
                if name == "master" and dark:
                    seen.press("Copy this master")
                    seen.see("Left for you")
                    seen.page.screenshot(path=OUT / f"subscribe-{size}-dark.png")
        if email == "reversion":
            _wizard(seen, size)
        seen.close()


def _wizard(seen: Watched, size: str) -> None:
    """The reward form, filled in."""
    master = seen.page.get_by_role("button", name="Change the reward").first
    master.click()
    seen.see("What followers read")
    seen.page.wait_for_timeout(400)
    seen.page.screenshot(path=OUT / f"reward-{size}-light.png")


if __name__ == "__main__":
    main()
