"""Settings, read once from the environment when a process starts."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """The value of NAME, or the content of the file that NAME_FILE names. Raises ConfigurationError."""
    if path := environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as exc:
            raise ConfigurationError(f"{name}_FILE is {path!r}, which cannot be read: {exc.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name}_FILE is {path!r}, which holds no text") from None
    return environ.get(name) or None


def whole_number(environ: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    """Raises ConfigurationError."""
    text = environ.get(name, "")
    try:
        number = int(text) if text else default
    except ValueError:
        raise ConfigurationError(f"{name} is not a whole number: {text!r}") from None
    if number < least:
        raise ConfigurationError(f"{name} is below {least}: {number!r}")
    return number


def _one_of(environ: Mapping[str, str], name: str, *choices: str) -> str:
    """The first choice where nothing is said."""
    chosen = environ.get(name) or choices[0]
    if chosen not in choices:
        raise ConfigurationError(f"{name} is none of {', '.join(choices)}: {chosen!r}")
    return chosen


def _networks(environ: Mapping[str, str], name: str) -> "tuple[IPv4Network | IPv6Network, ...]":
    listed = environ.get(name, "").replace(",", " ").split()
    if not listed:
        return ()
    from ipaddress import ip_network

    try:
        return tuple(map(ip_network, listed))
    except ValueError as exc:
        raise ConfigurationError(f"{name} is a list of networks such as 10.0.0.0/8: {exc}") from None


def _peers(text: str) -> frozenset[tuple[str, int]]:
    pairs = (item.strip().rpartition(":") for item in text.split(",") if item.strip())
    return frozenset((host.strip("[]"), int(port)) for host, _, port in pairs)


def _origin(environ: Mapping[str, str], name: str) -> str:
    """Scheme, host and perhaps a port; over plain HTTP only loopback is asked for secrets."""
    text = (environ.get(name) or "").rstrip("/")
    if text and not re.fullmatch(r"(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]+)?", text):
        raise ConfigurationError(f"{name} is an origin such as https://agents.example.org: {text!r}")
    return text


def _issuer(environ: Mapping[str, str], name: str) -> str | None:
    """As the tokens say it, to the letter."""
    text = environ.get(name) or None
    if text and not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[!-~]*)?", text):
        raise ConfigurationError(f"{name} is a URL such as https://login.example.org/tenant: {text!r}")
    return text


def _names(text: str) -> frozenset[str]:
    return frozenset(item.strip().lower() for item in text.split(",") if item.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process is told by its environment. URLs hold credentials, hence no repr."""

    home: Path
    postgres_url: str = field(repr=False, default="")
    redis_url: str = field(repr=False, default="")
    # Empty: events travel by the record alone.
    amqp_url: str = field(repr=False, default="")
    amqp_profile: str = "classic"
    # Empty: the graph lies in the record.
    neo4j_url: str = field(repr=False, default="")
    # Where functions are reached over HTTP, `{name}` standing for one: the connector's business.
    function_url: str = ""
    # Events that go to the broker though no consumer has asked the record for them: Knative's Triggers.
    event_types: frozenset[str] = frozenset()
    keys_dir: Path
    files_dir: Path
    files_quota_bytes: int = 1 << 30
    objects_dir: Path = Path("objects")
    # Empty: objects lie in `objects_dir`.
    s3_url: str = field(repr=False, default="")
    # Empty: these engines keep what they hold in `vectors_dir`, in the process of the vector service.
    qdrant_url: str = field(repr=False, default="")
    chroma_url: str = field(repr=False, default="")
    # Where the vector service answers; empty: nowhere.
    vectors_url: str = ""
    vectors_dir: Path = Path("vectors")
    # Empty: no texts go to a model elsewhere. Else what comes before `/embeddings`, what the model is called there, and
    # how many dimensions its vectors are to have.
    embeddings_url: str = ""
    embeddings_key: str = field(repr=False, default="")
    embeddings_model: str = ""
    embeddings_dimension: int = 0
    issuer: str = "https://sutazai.local"
    # Where clients reach this platform; empty: at the host that they ask for.
    public_url: str = ""
    # Who else issues tokens for the MCP servers; then nobody here does.
    oauth_issuer: str | None = None
    # Of new users, and of callers who have not said who they are.
    default_tier: str = "enterprise"
    # Gateways whose X-Forwarded-For is believed.
    trusted_proxies: "tuple[IPv4Network | IPv6Network, ...]" = ()
    # How many processes answer callers at most, those of all functions together: without Redis, each lets pass its
    # part of a caller's rate.
    replicas: int = 1
    egress_allow: frozenset[tuple[str, int]] = frozenset()
    # Names that this platform goes by beside those of loopback, `*.` standing for any labels; and origins of pages
    # elsewhere that may call it.
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    # Of the UI's pages: only they may keep a browser signed in.
    ui_origins: frozenset[str] = frozenset()
    max_queued_per_user: int = 100_000
    max_queued_per_agent: int = 500_000
    database_connections: int = 10
    worker_slot: str | None = None
    worker_tasks: int = 32
    children: int = 2

    @property
    def limits_strangers(self) -> bool:
        """Whether the default tier has a rate: all but the highest have."""
        return self.default_tier != "enterprise"

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Raises ConfigurationError naming the variable that is wrong."""
        home = Path(environ.get("SUTAZAI_HOME") or ".sutazai").absolute()
        try:
            allowed = _peers(environ.get("SUTAZAI_EGRESS_ALLOW", ""))
        except ValueError:
            raise ConfigurationError("SUTAZAI_EGRESS_ALLOW is a list of ip:port, separated by commas") from None
        return cls(
            home=home,
            postgres_url=secret(environ, "SUTAZAI_POSTGRES_URL") or "",
            redis_url=secret(environ, "SUTAZAI_REDIS_URL") or "",
            amqp_url=secret(environ, "SUTAZAI_AMQP_URL") or "",
            amqp_profile=_one_of(environ, "SUTAZAI_AMQP_PROFILE", "classic", "quorum"),
            neo4j_url=secret(environ, "SUTAZAI_NEO4J_URL") or "",
            function_url=environ.get("SUTAZAI_FUNCTION_URL") or "",
            event_types=frozenset(environ.get("SUTAZAI_EVENT_TYPES", "").split()),
            keys_dir=Path(environ.get("SUTAZAI_KEYS_DIR") or home / "keys"),
            files_dir=Path(environ.get("SUTAZAI_FILES_DIR") or home / "files"),
            files_quota_bytes=whole_number(environ, "SUTAZAI_FILES_QUOTA_BYTES", 1 << 30),
            objects_dir=Path(environ.get("SUTAZAI_OBJECTS_DIR") or home / "objects"),
            s3_url=secret(environ, "SUTAZAI_S3_URL") or "",
            qdrant_url=secret(environ, "SUTAZAI_QDRANT_URL") or "",
            chroma_url=secret(environ, "SUTAZAI_CHROMA_URL") or "",
            embeddings_url=environ.get("SUTAZAI_EMBEDDINGS_URL") or "",
            embeddings_key=secret(environ, "SUTAZAI_EMBEDDINGS_KEY") or "",
            embeddings_model=environ.get("SUTAZAI_EMBEDDINGS_MODEL") or "",
            embeddings_dimension=whole_number(environ, "SUTAZAI_EMBEDDINGS_DIMENSION", 0),
            vectors_url=(environ.get("SUTAZAI_VECTORS_URL") or "").rstrip("/"),
            vectors_dir=Path(environ.get("SUTAZAI_VECTORS_DIR") or home / "vectors"),
            issuer=environ.get("SUTAZAI_ISSUER") or "https://sutazai.local",
            public_url=_origin(environ, "SUTAZAI_PUBLIC_URL"),
            oauth_issuer=_issuer(environ, "SUTAZAI_OAUTH_ISSUER"),
            default_tier=_one_of(environ, "SUTAZAI_DEFAULT_TIER", "enterprise", "free", "basic", "pro"),
            trusted_proxies=_networks(environ, "SUTAZAI_TRUSTED_PROXIES"),
            replicas=whole_number(environ, "SUTAZAI_REPLICAS", 1, least=1),
            egress_allow=allowed,
            hosts=_names(environ.get("SUTAZAI_HOSTS", "")),
            origins=_names(environ.get("SUTAZAI_ORIGINS", "")),
            ui_origins=_names(environ.get("SUTAZAI_UI_ORIGINS", "")),
            max_queued_per_user=whole_number(environ, "SUTAZAI_MAX_QUEUED_PER_USER", 100_000, least=1),
            max_queued_per_agent=whole_number(environ, "SUTAZAI_MAX_QUEUED_PER_AGENT", 500_000, least=1),
            database_connections=whole_number(environ, "SUTAZAI_DATABASE_CONNECTIONS", 10, least=1),
            worker_slot=environ.get("SUTAZAI_WORKER_SLOT") or None,
            worker_tasks=whole_number(environ, "SUTAZAI_WORKER_TASKS", 32, least=1),
            children=whole_number(environ, "SUTAZAI_CHILDREN", 2, least=1),
        )
