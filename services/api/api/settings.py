"""What the api is told when it starts, beyond what every service is told."""

from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from shared.settings import Settings as CommonSettings


class Level(BaseModel):
    """What leaders of a level may ask for; where nothing is said, the setting `openapi_<name>` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profit_rate_max: Decimal | None = Field(default=None, ge=0, le=1)
    private_profit_rate_max: Decimal | None = Field(default=None, ge=0, le=1)
    place_min: Decimal | None = Field(default=None, ge=0)
    invest_min: Decimal | None = Field(default=None, ge=0)
    rate_invest_min: Decimal | None = Field(default=None, ge=0)


class Settings(CommonSettings):
    """Each field is the environment variable `LOCKSTEP_<NAME>`."""

    session_ttl_s: int = Field(default=12 * 3600, ge=60)
    """How long a customer's session lasts after the login."""
    session_check_s: float = Field(default=1.0, ge=0, le=60)
    """How long an instance takes a customer for enabled without looking again; its own managers' changes count at once."""
    account_wait_s: float = Field(default=2.0, ge=0, le=30)
    """How long a write waits for an account that the venue has opened but that was not seen here yet."""
    body_max_bytes: int = Field(default=256 * 1024, ge=1024)
    body_timeout_s: float = Field(default=10, gt=0)
    """How long a client may take to send a request's body."""
    json_depth_max: int = Field(default=16, ge=4)
    page_default: int = Field(default=100, ge=1)
    page_max: int = Field(default=500, ge=1)
    manager_page_max: int = Field(default=50_000, ge=1)
    rate_limit: str = "1200/minute"
    """Requests of one customer (or manager), in the notation of the package `limits`."""
    login_rate_limit: str = "20/minute"
    """Log-in attempts for one e-mail, and ten times as many from one address."""
    idempotency_hours: float = Field(default=24, gt=0)
    """How long the answer to an Idempotency-Key is kept."""
    openapi_require_signed_body: bool = False
    """Refuse JSON bodies that are not part of the signature. Existing clients leave them out, so it is off; on is safer."""
    openapi_require_ip_list: bool = False
    """Let only keys with a list of IP addresses write."""
    openapi_write_rate_limit: str = "600/minute"
    """Writes of one API key, beside `rate_limit`, which counts all of its requests by their weight."""
    openapi_place_min: Decimal = Field(default=Decimal(5), ge=0)
    """The least that a follow config may place on each order (fixed amount); a leader may ask for more."""
    openapi_invest_min: Decimal = Field(default=Decimal(10), ge=0)
    """The least that a follow config may invest in a leader in fixed-amount mode; a leader may ask for more."""
    openapi_rate_invest_min: Decimal = Field(default=Decimal(10), ge=0)
    """The same in fixed-rate mode."""
    openapi_leverage_max: Decimal = Field(default=Decimal(125), ge=1)
    """The highest leverage of a follow config."""
    openapi_profit_rate_max: Decimal = Field(default=Decimal("0.3"), ge=0, le=1)
    """The largest share of profits that a public leader may ask for."""
    openapi_private_profit_rate_max: Decimal = Field(default=Decimal("0.5"), ge=0, le=1)
    """The largest share of profits that a leader by invitation may ask for."""
    openapi_levels: dict[str, Level] = Field(default_factory=dict)
    """Levels of leaders, which managers give (`MngSetLeaderLevel`): a JSON object of each level's own bounds, as in
    `{"pilot": {"profit_rate_max": 0.12, "invest_min": 50}}`, under the names above without `openapi_`."""
    openapi_words_refused: frozenset[str] = frozenset({"admin", "official"})
    """Words that an invitation code may not contain (JSON array, lower case)."""
    events_streams_max: int = Field(default=10, ge=1)
    """Streams of `GET /copytrade/events` that one customer may have open on one instance."""
    events_streams_total: int = Field(default=2000, ge=1)
    """Streams of all customers on one instance."""
    events_heartbeat_s: float = Field(default=15, gt=0)
    """A stream that has nothing to tell says so this often, so that proxies and clients know that it lives."""
    events_kept: int = Field(default=1_000_000, ge=1)
    """Changes, of all customers together, that a stream can be resumed over; who was away for longer is told to load anew."""
    events_check_s: float = Field(default=30, gt=0)
    """How often the session of an open stream, or of a line that gets pushes, is looked at again."""
    tcp_port: int = Field(default=0, ge=0, le=65535)
    """Port of the manager's line protocol; 0: that door stays closed."""
    tcp_line_max_bytes: int = Field(default=1024 * 1024, ge=1024)
    tcp_idle_s: float = Field(default=300, gt=0)
    """A connection without subscriptions that sends nothing for so long is closed."""
    tcp_connections_max: int = Field(default=1000, ge=1)
    tcp_in_flight_max: int = Field(default=2000, ge=1)
    """Requests of one connection that may wait for their answer; beyond it the connection is read no further until one is answered."""
    tcp_unsent_max_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """A client for whom more than this waits already when something new is to be sent is let go: it does not read."""
    tcp_certificate: Path | None = None
    """PEM file with a certificate chain: the line protocol is TLS then. `tcp_key` is its key."""
    tcp_key: Path | None = None
