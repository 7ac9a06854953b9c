"""Other people's text in the console is shown, and never run: no property, script or address is made of it."""

import json
import re
from pathlib import Path

import console
import pytest
from console import charts
from console.pages.login import _safe
from console.parts import named
from nicegui import Client, ui

SOURCES = sorted(Path(console.__file__).parent.rglob("*.py"))
QUOTED = re.compile(r"""\.props\(\s*f(?:'[^'\n]*"\{|"[^"\n]*'\{|["'][^\n]*=["']\{)""")
"""An interpolation within the quotes of a property."""


def test_the_look_for_text_within_properties_finds_it() -> None:
    assert QUOTED.search("""box("dialog").props(f'role=dialog aria-label="{title}"')""")
    assert QUOTED.search("""chart.props(\n    f'aria-label="{description}"'\n)""")
    assert not QUOTED.search("""box("h").props(f"role=heading aria-level={level}")""")


def test_no_property_is_written_with_text_in_quotes() -> None:
    assert len(SOURCES) > 30
    assert [str(source) for source in SOURCES if QUOTED.search(source.read_text())] == []


@pytest.mark.anyio
@pytest.mark.parametrize("title", ['A" :a="x', "A' :onclick='alert(1)", ":a", "{x} :b=[1]"])
async def test_a_title_makes_no_other_property(title: str) -> None:
    with Client(ui.page("/")):
        element = named(ui.element().props("role=dialog"), title)
    assert dict(element.props) == {"role": "dialog", "aria-label": title}


def test_a_currency_in_a_chart_s_script_is_a_text() -> None:
    unit = "' + alert(1) + '\"\\"
    written = charts.tip(unit).partition("}) + ")[2]
    assert json.loads(written) == f" {unit}"


@pytest.mark.parametrize(
    "path",
    ["", "//evil", "//evil.example/a", "/\t/evil.example", "/\n/evil", "/\\evil", "https://evil.example", "evil", "/a//evil", "/a?b=//c"],
)
def test_a_login_leads_nowhere_else(path: str) -> None:
    assert _safe(path) == ""


@pytest.mark.parametrize("path", ["/", "/master/100001", "/office/links", "/strategies/new", "/copying"])
def test_a_login_leads_back_to_the_page_that_was_asked_for(path: str) -> None:
    assert _safe(path) == path
