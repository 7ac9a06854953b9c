"""The dispatcher of the manager API: the same for both transports."""

from typing import Any

from pydantic import ValidationError

from api.auth import Actor
from api.context import Asked, Context
from api.door import invalid
from api.errors import Refused
from api.manager.commands import COMMANDS, Command
from api.views import Json


async def dispatch(context: Context, actor: Actor, name: str, data: Any, asked: Asked) -> Json:
    """Checks and carries out one command. Raises Refused: UNKNOWN_COMMAND, PERMISSION_DENIED, INVALID_DATA, or the command's own."""
    command = COMMANDS.get(name)
    if command is None:
        raise Refused("UNKNOWN_COMMAND", f"there is no command {name[:80]}")
    if actor.kind not in command.roles:
        raise Refused("PERMISSION_DENIED", f"{name} is not for {actor.kind}")
    return await command.handle(context, actor, checked(command, data), asked)


def checked(command: Command, data: Any) -> Any:
    """The data in the command's own shape. Raises Refused as the client REST does."""
    try:
        return command.body.model_validate({} if data is None else data)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)) from None
