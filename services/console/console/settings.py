"""What the console is told when it starts, beyond what every service is told."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from shared.settings import Settings as CommonSettings


class Settings(CommonSettings):
    """Each field is the environment variable `LOCKSTEP_<NAME>`. Of the common ones the console has no use for those of stores and Redis."""

    uses_redis: ClassVar[bool] = False

    api_url: str = "http://127.0.0.1:8081"
    """The api, as this process reaches it; browsers never talk to it."""
    api_timeout_s: float = Field(default=10, gt=0)
    demo_file: Path | None = None
    """A demo's `demo.json`, whose logins the login page offers; never with `LOCKSTEP_ENV=production`."""
    secure_cookie: bool = False
    """The session cookie travels over https only: for a console behind a proxy that ends TLS."""

    @property
    def demo(self) -> Path | None:
        """The demo's file, where there may be one."""
        return None if self.env == "production" else self.demo_file
