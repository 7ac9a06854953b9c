"""What the simulated user's NiceGUI runs: the console's pages, made from what the test staged."""

from console.api import Api
from console.app import register
from console.session import Console
from console.settings import Settings
from console.streams import Streams
from nicegui import ui

from tests.console.stage import staged

api = Api("http://api", 5, staged["transport"])
register(Console(Settings(**staged["settings"]), api, Streams(api)))
ui.run(storage_secret="for this test alone", reload=False, show=False)
