"""What a follower's account is told as a whole: who may trade on it by hand, how many masters it follows, and to stop opening at once."""

from nicegui import ui

from console import words
from console.api import Json
from console.parts import answer_of, attempt, box, confirmed, heading, named
from console.session import Who

STOPPED = (
    "At once no copy is opened on this account, whichever master it follows. What is open still follows its master's closes and stops."
)


async def stop_opening(who: Who, login: int, stopped: bool) -> bool:
    """Stops the opening of copies on an account, or takes that back, when it is confirmed. Answers whether something changed."""
    if stopped:
        explained = "From now on trades are copied again; what was missed meanwhile is not made up for."
        title, action, path, done = f"Open again on {login}?", "Open again", "/copytrade/resume", "Copies are opened again"
    else:
        explained = STOPPED
        title, action, path, done = f"Stop opening on {login}?", "Stop opening", "/copytrade/halt", "No copy is opened on this account now"
    if not await confirmed(title, explained, action, danger=not stopped):
        return False
    body = {"scope": "follower", "login": login} | ({} if stopped else {"reason": "by the customer"})
    return await attempt(who.call("POST", path, body), done) is not None


async def account_settings(who: Who, follower: Json) -> bool:
    """The dialog with a follower's own settings. Answers whether to look at it again: something changed, here or elsewhere."""
    login = follower["login"]
    with ui.dialog() as dialog, named(box("dialog").props("role=dialog"), f"Settings of account {login}"):
        heading(f"Account {login}", 2)
        manual = ui.select(words.MANUAL, value=follower["manual_trading_mode"], label="Trading by hand").props(
            'aria-label="Trading by hand"'
        )
        most = ui.number("Masters followed at once, at most", value=follower["max_master_count"], min=1, max=1000, step=1, precision=0)
        enabled = ui.switch("This account copies", value=bool(follower["enabled"]))
        with box("dialog-actions"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
            ui.button("Save", on_click=lambda: dialog.submit("save"))
    answer = await answer_of(dialog)
    if answer != "save":
        return False
    change = {"manual_trading_mode": manual.value, "max_master_count": int(most.value or 1), "enabled": int(enabled.value)}
    await attempt(who.call("PUT", f"/copytrade/follower/{follower['id']}", change, version=follower["version"]), "Saved")
    return True
