"""Settings that every service has: environment variables `LOCKSTEP_*`, nothing else."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.shards import Shard, numbered

DEMO_SECRET = "lockstep-demo-secret-not-for-production"  # noqa: S105  (refused in production, below)
PUBLISHED = {DEMO_SECRET, "a-secret-for-this-machine-alone-0123456789", "redis-on-this-machine", "postgres-on-this-machine"}
"""Secrets and passwords that stand in this repository, where everybody can read them."""
SECRET_LENGTH_MIN = 32


class UnsafeSettingsError(ValueError):
    """A setting that only a demo may have was found with `LOCKSTEP_ENV=production`."""


class Settings(BaseSettings):
    """What a service is told when it starts; each field is the environment variable `LOCKSTEP_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="LOCKSTEP_", extra="ignore", frozen=True, hide_input_in_errors=True)

    uses_redis: ClassVar[bool] = True

    env: Literal["development", "production"] = "development"
    home: Path = Path(".lockstep")
    database_url: str = ""
    """SQLAlchemy URL; empty: SQLite under `home`."""
    redis_url: str = "redis://127.0.0.1:6379"
    secret: SecretStr = SecretStr(DEMO_SECRET)
    """Signs sessions and derives the key that encrypts API secrets."""
    old_secrets: SecretStr = SecretStr("")
    """Former secrets, comma-separated: what was signed or encrypted with one of them is read still, while a new secret is brought in."""
    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Port of the service's HTTP door (health and metrics on each service); 0: a free one."""
    trusted_proxies: str = ""
    """Proxies, as addresses or networks with commas between them, whose `X-Forwarded-For` is believed; empty: a client is who connects."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    log_json: bool = False
    clock_offset: float = 0
    """Seconds that the service's clock is ahead of the machine's."""
    retention_days: float = Field(default=7, ge=0)
    """How long outbox rows that every reader has handled are kept."""
    max_records: int = Field(default=200, ge=1, le=5000)
    """Entries that a reader takes at a time, and handles in one transaction if they do not take long."""
    broker_timezone: str = "UTC"
    """IANA name of the zone whose midnights, Mondays and firsts of a month end days and billing periods: one for all services."""
    trace_url: str = ""
    """Where OpenTelemetry spans go (OTLP over HTTP, the whole URL); empty: `OTEL_EXPORTER_OTLP_ENDPOINT` decides, without it nothing."""
    trace_ratio: float = Field(default=1, ge=0, le=1)
    """Which part of all workflows is traced; all services choose the same ones."""

    executor_shards: int = Field(default=1, ge=1, le=1024)
    """How many shards the executor has: whoever reads its topics reads all their streams."""
    rewards_shards: int = Field(default=1, ge=1, le=1024)
    """How many shards the rewards service has."""

    @field_validator("broker_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone of the IANA database") from error
        return name

    @model_validator(mode="after")
    def _refuse_demo_settings_in_production(self) -> Self:
        if self.env != "production":
            return self
        for name, secrets in (("LOCKSTEP_SECRET", (self.secret.get_secret_value(),)), ("LOCKSTEP_OLD_SECRETS", self.former_secrets)):
            if PUBLISHED & set(secrets):
                raise UnsafeSettingsError(f"{name} is the demo's: set one of your own")
            if any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
                raise UnsafeSettingsError(f"{name} has fewer than {SECRET_LENGTH_MIN} characters")
        if self.uses_redis and not _password(self.redis_url):
            raise UnsafeSettingsError("LOCKSTEP_REDIS_URL has no password: whoever reaches Redis could trade for everybody")
        if PUBLISHED & {_password(self.redis_url), _password(self.database_url)}:
            raise UnsafeSettingsError("LOCKSTEP_REDIS_URL or LOCKSTEP_DATABASE_URL has the demo's password: set one of your own")
        if self.clock_offset:
            raise UnsafeSettingsError("LOCKSTEP_CLOCK_OFFSET moves the time that fees are charged by")
        return self

    @property
    def former_secrets(self) -> tuple[str, ...]:
        return tuple(part for part in self.old_secrets.get_secret_value().split(",") if part)

    @property
    def part(self) -> Shard:
        """Which part of its service an instance is; a service that cannot be split is the first of one."""
        return Shard()

    def shards_of(self, topic: str) -> int:
        """How many shards a topic's writer has."""
        return {"copy.order": self.executor_shards, "copy.link": self.executor_shards, "reward.accrual": self.rewards_shards}.get(topic, 1)

    def database(self, service: str) -> str:
        """The URL of a service's own store."""
        return self.database_url or f"sqlite:///{self.home / numbered(service, self.part.number)}.db"


class ShardedSettings(Settings):
    """Settings of a service that can be split by follower."""

    shard: str = "1/1"
    """Which shard this instance is, and of how many: `2/8`."""

    @property
    def part(self) -> Shard:
        return Shard.parse(self.shard)

    @field_validator("shard")
    @classmethod
    def _a_shard(cls, shard: str) -> str:
        Shard.parse(shard)
        return shard


def _password(url: str) -> str:
    """The password in a URL; empty when there is none."""
    return unquote(urlsplit(url).password or "")
