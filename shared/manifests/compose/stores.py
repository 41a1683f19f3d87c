"""The data plane, at the addresses, names and ports that it has always had."""

from shared.manifests.compose.parts import Service, service

_BASH_GET = (
    "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3"
    " && head -1 <&3 | grep -q ' 200 '"
)
# Its clients are told the password by a file; the server takes it from one too.
_AUTHENTICATED = "REDISCLI_AUTH=\"$$(sed -n 's/^requirepass //p' /run/secrets/redis-conf)\""


def stores() -> dict[str, Service]:
    return {
        "postgres": _postgres(),
        "redis": _redis(),
        "neo4j": _neo4j(),
        "rabbitmq": _rabbitmq(),
        "chroma": _chroma(),
        "qdrant": _qdrant(),
    }


def volumes() -> dict[str, None]:
    """One for each folder that outlives its container."""
    mounted = (mount for each in stores().values() for mount in each["volumes"])
    return dict.fromkeys(mount.partition(":")[0] for mount in mounted)


def _bash(port: int, path: str) -> tuple[str, ...]:
    return ("CMD", "bash", "-c", _BASH_GET.format(port=port, path=path))


def _postgres() -> Service:
    return service(
        "postgres:16.15",
        10,
        names=["postgres"],
        memory="4g",
        cpus="2.0",
        ports={10000: 5432},
        health=("CMD", "pg_isready", "-h", "127.0.0.1", "-U", "sutazai", "-d", "sutazai"),
        secrets=["postgres-password"],
        tmp=("/tmp", "/var/run/postgresql"),  # noqa: S108
        # The image's own user: as root it would need rights to change owners.
        user="999:999",
        # Three backends, the agents and the keeper, ten connections each, and room for an operator.
        command=["postgres", "-c", "max_connections=400", "-c", "shared_buffers=1GB"],
        environment={
            "POSTGRES_DB": "sutazai",
            "POSTGRES_USER": "sutazai",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres-password",
            "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256 --auth-local=scram-sha-256 --data-checksums",
        },
        volumes=["postgres:/var/lib/postgresql/data"],
        shm_size="256m",
        stop_signal="SIGINT",
        stop_grace_period="60s",
    )


def _redis() -> Service:
    # Nothing in it is the only copy, so what was not asked for longest may go.
    held = ("--appendonly", "yes", "--maxmemory", "3gb", "--maxmemory-policy", "allkeys-lru", "--dir", "/data")
    return service(
        "redis:7.2.14",
        11,
        names=["redis"],
        memory="4g",
        cpus="1.0",
        ports={10001: 6379},
        health=("CMD-SHELL", f"{_AUTHENTICATED} redis-cli ping | grep -q PONG"),
        secrets=["redis-conf"],
        user="999:999",
        command=["redis-server", "/run/secrets/redis-conf", *held],
        volumes=["redis:/data"],
    )


def _neo4j() -> Service:
    return service(
        "neo4j:5.26.31",
        12,
        names=["neo4j"],
        memory="8g",
        cpus="2.0",
        ports={10002: 7474, 10003: 7687},
        health=("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:7474"),
        secrets=["neo4j-auth"],
        tmp=("/tmp", "/var/lib/neo4j/run"),  # noqa: S108
        user="7474:7474",
        environment={
            "NEO4J_AUTH_FILE": "/run/secrets/neo4j-auth",
            "NEO4J_server_memory_heap_max__size": "3G",
            "NEO4J_server_memory_pagecache_size": "3G",
            "NEO4J_dbms_usage__report_enabled": "false",
        },
        # It writes its settings down when it starts, which a read-only root leaves no room for.
        volumes=["neo4j:/data", "neo4j-logs:/logs", "neo4j-conf:/var/lib/neo4j/conf"],
        stop_grace_period="120s",
    )


def _rabbitmq() -> Service:
    return service(
        "rabbitmq:4.1.4-management",
        13,
        names=["rabbitmq"],
        memory="2g",
        cpus="1.0",
        ports={10004: 5672, 10005: 15672},
        health=("CMD", "rabbitmq-diagnostics", "-q", "check_running"),
        secrets=[("rabbitmq-conf", "/etc/rabbitmq/conf.d/20-sutazai.conf")],
        tmp=("/tmp", "/var/log/rabbitmq"),  # noqa: S108
        user="999:999",
        # Its folder is named after it.
        hostname="rabbitmq",
        volumes=["rabbitmq:/var/lib/rabbitmq"],
        stop_grace_period="60s",
    )


def _chroma() -> Service:
    return service(
        "chromadb/chroma:1.5.9",
        70,
        names=["chroma", "chromadb"],
        memory="2g",
        cpus="1.0",
        ports={10100: 8000},
        health=_bash(8000, "/api/v2/heartbeat"),
        environment={"ANONYMIZED_TELEMETRY": "FALSE"},
        volumes=["chroma:/data"],
    )


def _qdrant() -> Service:
    return service(
        "qdrant/qdrant:v1.19.1-unprivileged",
        71,
        names=["qdrant"],
        memory="4g",
        cpus="2.0",
        ports={10101: 6333, 10102: 6334},
        health=_bash(6333, "/readyz"),
        secrets=[("qdrant-conf", "/qdrant/config/production.yaml")],
        user="1000:1000",
        environment={"QDRANT__TELEMETRY_DISABLED": "true"},
        volumes=["qdrant:/qdrant/storage", "qdrant-snapshots:/qdrant/snapshots"],
        stop_grace_period="30s",
    )
