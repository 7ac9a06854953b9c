"""A real stack with a real browser in front of its console: for the journeys, and for the screenshots."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from lockstep.sessions import issued
from lockstep.stack import Home
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as NotInTime

from tests.ports import free_base

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
PASSWORD = "a password for this test"
READY_S = 90
SOON_MS = 30_000
"""How long a page may take to show something, on a machine that does much else."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
expect.set_options(timeout=SOON_MS)


def chromium() -> str:
    """Where a Chromium is; empty where there is none."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), "")


class Stack:
    """One `lockstep up`, and what a test does beside the console: prices, masters' trades, customers, accounts."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = Home(home)
        self.base = free_base()
        self.lines: list[str] = []
        command = [sys.executable, "-m", "lockstep", "up", "--home", str(home), "--port-base", str(self.base), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self._http = httpx.Client(timeout=20)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.base}"

    def until(self, holds: Callable[[], Any], what: str, timeout_s: float = READY_S) -> None:
        end = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end, f"{what}\n" + "\n".join(self.lines[-40:])
            assert self._process.poll() is None, "\n".join(self.lines[-40:])
            time.sleep(0.1)

    def ready(self) -> None:
        self.until(lambda: any(line.startswith("ready") for line in self.lines), "the stack is not ready")

    def stop(self) -> None:
        self._http.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def kill(self, service: str) -> None:
        """SIGKILL; its supervisor starts it again."""
        os.kill(int((self.home.run / f"{service}.pid").read_text()), signal.SIGKILL)

    def token(self) -> str:
        return issued(self.home, "manager", "olga")

    def manager(self, command: str, data: Any) -> Any:
        return self._said(
            self._http.post(f"http://127.0.0.1:{self.base + 1}/manager/{command}", json=data, headers={"Authorization": self.token()})
        )

    def customer(self, customer_id: int, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": issued(self.home, "customer", str(customer_id))}
        return self._said(self._http.request(method, f"http://127.0.0.1:{self.base + 1}{path}", json=body, headers=headers))

    def venue(self, method: str, path: str, body: Any = None) -> Any:
        return self._said(self._http.request(method, f"http://127.0.0.1:{self.base + 3}{path}", json=body))

    def _said(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    def person(self, name: str, accounts: int = 1) -> tuple[int, list[int]]:
        """A customer who can log in, with real accounts of 10,000 USD: the number, and the logins."""
        made = self.manager("MngCreateCustomer", {"email": f"{name}@example.com", "password": PASSWORD, "name": name})
        wanted = {"customer_id": made["id"], "group": "real-usd", "balance": 10_000, "leverage": 100}
        return made["id"], [self.venue("POST", "/accounts", wanted)["login"] for _ in range(accounts)]

    def price(self, bid: float) -> None:
        self.venue("PUT", "/prices/GBPUSD", {"bid": bid, "ask": round(bid + 0.0001, 5)})

    def order(self, login: int, volume: int = 100) -> int:
        return int(self.venue("POST", "/orders", {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": volume})["order"])

    def dead_letter(self) -> None:
        """Lays a batch aside in the api's store, as though it could not have been handled: the first that the venue ever wrote."""
        with contextlib.closing(sqlite3.connect(self.home.path / "gateway.db", timeout=10)) as gateway:
            asked = "SELECT number, payload FROM log_outbox WHERE stream = 'trade.push' ORDER BY number LIMIT 1"
            number, payload = gateway.execute(asked).fetchone()
        with contextlib.closing(sqlite3.connect(self.home.path / "api.db", timeout=10)) as api, api:
            columns = "(stream, number, event_index, reason, payload, created_ms)"
            row = ("trade.push", number, -1, "KeyError: 'for the test'", payload, int(time.time() * 1000))
            api.execute(f"INSERT INTO dead_letter {columns} VALUES (?, ?, ?, ?, ?, ?)", row)


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield browser
        browser.close()


class Watched:
    """A page of the console on which nothing may go wrong unseen: no console error, no foreign request, nothing wider than the screen."""

    def __init__(self, browser: Browser, stack: Stack, size: str) -> None:
        width, height = SIZES[size]
        self.width = width
        self.size = size
        self.stack = stack
        self.context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        own = (f"{self.stack.url}/", f"ws://127.0.0.1:{self.stack.base}/", "data:", "blob:")
        if not url.startswith(own):
            self.wrong.append(f"a request to {url}")

    def open(self, path: str) -> None:
        self.page.goto(self.stack.url + path)

    def fits(self) -> None:
        """Nothing on the page is wider than the screen."""
        found = self.page.evaluate("document.documentElement.scrollWidth")
        assert found <= self.width, f"{self.page.url} is {found} wide on a screen of {self.width}"

    def see(self, text: str, exact: bool = False, timeout_ms: int = SOON_MS) -> None:
        expect(self.page.get_by_text(text, exact=exact).locator("visible=true").first).to_be_visible(timeout=timeout_ms)

    def field(self, name: str) -> Locator:
        """A form's field by its label: a number or a choice."""
        number = self.page.get_by_role("spinbutton", name=name, exact=True)
        return number.or_(self.page.get_by_role("combobox", name=name, exact=True))

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).locator("visible=true").first.click()

    def follow(self, name: str) -> None:
        """Follows the first link of that name; again as a person does, when the list was drawn anew under the finger."""
        here = self.page.url
        for _ in range(3):
            self.page.get_by_role("link", name=re.compile(name)).first.click()
            with contextlib.suppress(NotInTime):
                self.page.wait_for_url(lambda url: url != here, timeout=SOON_MS / 3, wait_until="commit")
                return
        raise AssertionError(f"{name} leads nowhere")

    def log_in(self, name: str) -> None:
        self.open("/login")
        self.page.get_by_label("E-mail").fill(f"{name}@example.com")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.press("Log in")
        self.see("Marketplace")

    def enter_office(self) -> None:
        self.open("/login?next=/office")
        self.page.get_by_label("Session token").fill(self.stack.token())
        self.press("Enter the back office")
        self.see("Topics and their readers")

    def choose(self, label: str, option: str) -> None:
        """Picks from a select, whose list takes the focus back when it has closed: what is typed before that is typed nowhere."""
        self.page.get_by_role("combobox", name=label).locator("visible=true").first.click()
        self.page.get_by_role("option", name=option).first.click()
        expect(self.page.get_by_role("listbox")).to_have_count(0)

    def close(self) -> None:
        self.context.close()
        assert not self.wrong, self.wrong
