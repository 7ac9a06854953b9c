"""Dead letters: what the api could not handle, its payload and the error, and asking for it again; and the audit log."""

from starlette.responses import RedirectResponse

from console.api import Json
from console.figures import when
from console.frame import frame
from console.office.browser import Browser, Field, Spec
from console.office.record import record
from console.parts import confirmed, settled
from console.session import Who, admitted
from console.tables import Act, Column

SAID = "What a service could not handle, with its payload and the error."


def _letter(one: Json) -> Json:
    state, tone = ("Handled since", "good") if one["retried"] else ("Retry asked", "info") if one["retry_requested"] else ("Waits", "bad")
    return {
        # A letter's number is its service's own.
        "id": f"{one['service']} {one['id']}",
        "letter": one["id"],
        "service": one["service"],
        "title": f"letter {one['id']}",
        "stream": one["stream"],
        "number": str(one["number"]),
        "reason": one["reason"],
        "state": state,
        "state_tone": tone,
        "waits": not one["retried"],
        "created_time": when(one["created_time"]),
    }


LETTERS = Spec(
    "MngGetDeadLettersByFilter",
    "Dead letters",
    (
        Column("stream", "Topic", sortable=True),
        Column("service", "Service", sortable=True),
        Column("number", "Number", "num", sortable=True),
        Column("state", "State", "chip"),
        Column("reason", "Error", "reason", sortable=True),
        Column("created_time", "Put aside (UTC)", "num", sortable=True),
    ),
    _letter,
    (
        Field("service", "Service", "text"),
        Field("stream", "Topic", "text"),
        Field("number", "Number"),
        Field("reason", "Error", "text"),
        Field("retried", "Handled since (0: no)"),
    ),
    ("mark_email_read", "No dead letters", "Everything that came could be handled."),
)


class Letters:
    """The page."""

    def __init__(self, who: Who) -> None:
        acts = (Act("retry", "Retry", "replay", "waits"), Act("discard", "Discard", "delete", "waits", danger=True))
        self.who = who
        self.browser = Browser(who, LETTERS, acts if who.may_write else (), self.act, lambda one: record(f"Dead letter {one['id']}", one))

    async def act(self, name: str, row: Json) -> None:
        """Asks the letter's service to handle it again, or to throw it away, when that is confirmed."""
        which, key = f"{row['stream']} {row['number']}", {"id": row["letter"], "service": row["service"]}
        if name == "retry":
            explained = f"{row['service']} handles {which} again as it was sent; within a second or two it is known what became of it."
            if await confirmed("Retry this letter?", explained, "Retry"):
                await self.browser.act(self.who.command("MngRetryDeadLetter", key), "It is handled again")
            return
        explained = f"{row['service']} never handles {which}: what it told is lost to this service for good. It stays in the audit log."
        if await confirmed("Discard this letter?", explained, "Discard", danger=True):
            await self.browser.act(self.who.command("MngDiscardDeadLetter", key), "It is thrown away")


def _change(one: Json) -> Json:
    return {
        "id": one["id"],
        "actor": one["actor"],
        "action": one["action"],
        "noun": one["noun"],
        "record_id": str(one["record_id"]),
        "created_time": when(one["created_time"]),
    }


AUDIT = Spec(
    "MngGetAuditByFilter",
    "Audit log",
    (
        Column("created_time", "When (UTC)", sortable=True),
        Column("actor", "Who", sortable=True),
        Column("action", "Did", sortable=True),
        Column("noun", "To", sortable=True),
        Column("record_id", "Number", "num", sortable=True),
    ),
    _change,
    (
        Field("actor", "Who", "text"),
        Field("action", "Did", "text"),
        Field("noun", "To", "text"),
        Field("record_id", "Number"),
        Field("created_time", "When (Unix seconds)"),
    ),
    ("history", "Nothing was changed yet", ""),
)


async def letters() -> RedirectResponse | None:
    """The page at /office/letters."""
    who = admitted("manager")
    if isinstance(who, RedirectResponse):
        return who
    with frame(who, "Dead letters", "/office/letters", SAID):
        panel = Letters(who).browser.draw()
    await settled(panel)
    return None


async def audit() -> RedirectResponse | None:
    """The page at /office/audit."""
    who = admitted("manager")
    if isinstance(who, RedirectResponse):
        return who
    with frame(who, "Audit log", "/office/audit", "Who changed what, and what it was before and after."):
        panel = Browser(who, AUDIT, on_open=lambda one: record(f"{one['action']} {one['noun']} {one['record_id']}", one)).draw()
    await settled(panel)
    return None
