"""Our own containers: endpoints together, three times over; agents each alone; what runs by itself together."""

from collections.abc import Iterable, Mapping, Sequence

from shared.manifests.cluster import DISK_DIR, FILES_DIR, USER_ID, places, secrets
from shared.manifests.compose.parts import Service, after, service
from shared.manifests.compose.stores import stores
from shared.manifests.deployables import PORT, UI, Deployable
from shared.manifests.kong.places import COMPOSE, ISSUER

SIGNING = "signing-000001.key"
IMAGE = "${SUTAZAI_IMAGE:-sutazai/all:local}"
_SECRETS_DIR = "/run/secrets"
_OBJECTS_DIR = "/var/lib/sutazai/objects"
_HEALTH = ("CMD", "python", "-m", "shared.probe")
_KONG, _FRONTEND, _BRIDGE, _VECTORS = 20, 31, 32, 72
_BACKENDS, _CONNECTOR, _KEEPER, _MIGRATE, _FOLDERS = (30, 33, 34), 35, 36, 37, 38
_AGENTS, _AGENT_PORTS = 100, 11401
_EMBEDDINGS = ("SUTAZAI_EMBEDDINGS_DIMENSION", "SUTAZAI_EMBEDDINGS_MODEL", "SUTAZAI_EMBEDDINGS_URL")
# Those of the three backends: the seed's one, and what it had left free.
_BACKEND_PORTS = (10200, 10202, 10203)


def ours(listed: Sequence[Deployable]) -> dict[str, Service]:
    """Raises ValueError where agents are more than there are addresses for."""
    agents = [each for each in listed if each.acts]
    if len(agents) > 100:
        raise ValueError(f"{len(agents)} agents have no room between .100 and .199")
    inner = [each for each in listed if not each.answers and not _special(each)]
    called = [each for each in listed if each.answers and not each.acts and each is not UI and not _special(each)]
    settings = _settings([*agents, *called])
    return {
        "folders": _folders([f"{name}:{folder}" for name, folder in _disks(listed).items()]),
        "migrate": _migrate(),
        **_backends(called, settings),
        "keeper": _many(inner, "--background", _KEEPER, settings, names=["keeper"], memory="512m", cpus="1.0"),
        **dict(_single(each, settings) for each in listed if _special(each)),
        **{
            each.name: _one(each, _AGENTS + number, settings, ports={_AGENT_PORTS + number: PORT}, memory="1g")
            for number, each in enumerate(agents)
        },
        "frontend": _frontend(),
        "kong": _kong(),
    }


def volumes(listed: Sequence[Deployable]) -> dict[str, None]:
    return dict.fromkeys(_disks(listed))


def _disks(listed: Sequence[Deployable]) -> dict[str, str]:
    """Where each is mounted."""
    vectors = {"vectors": DISK_DIR} if any(each.kind == "statefulset" for each in listed) else {}
    objects = {"objects": _OBJECTS_DIR} if any("s3" in each.stores for each in listed) else {}
    return {"files": FILES_DIR, **objects, **vectors}


def _special(each: Deployable) -> bool:
    return each.carries or each.group == "bridge" or each.kind == "statefulset"


def _single(each: Deployable, settings: Mapping[str, str]) -> tuple[str, Service]:
    """Under the name that it is known by."""
    if each.carries:
        return "connector", _one(each, _CONNECTOR, settings, names=["connector"])
    if each.group == "bridge":
        return "mcp-bridge", _bridge(each, settings)
    return "vectors", _vectors(each, settings)


def _backends(called: Sequence[Deployable], settings: Mapping[str, str]) -> dict[str, Service]:
    """The connector finds consumers under their own names: at the first."""
    consumers = [each.name for each in called if each.subscriptions]
    names = {"backend-1": ["backend", "backend-1", *consumers], "backend-2": ["backend-2"], "backend-3": ["backend-3"]}
    return {
        name: _many(called, "--endpoints", address, settings, names=names[name], ports={port: PORT})
        for name, address, port in zip(names, _BACKENDS, _BACKEND_PORTS, strict=True)
    }


def _settings(answering: Sequence[Deployable]) -> dict[str, str]:
    """Values of variables; whoever needs none of them is not told."""
    agents = [each.name for each in answering if each.acts]
    origins = ",".join(COMPOSE.origins)
    return {
        "SUTAZAI_AMQP_PROFILE": "classic",
        "SUTAZAI_DATABASE_CONNECTIONS": "10",
        "SUTAZAI_DEFAULT_TIER": "${SUTAZAI_DEFAULT_TIER:-free}",
        # A model elsewhere, where its operator names one.
        **{name: f"${{{name}:-}}" for name in _EMBEDDINGS},
        "SUTAZAI_FUNCTION_URL": f"http://{{name}}:{PORT}",
        # As Kong calls them, and as people do.
        "SUTAZAI_HOSTS": ",".join(["backend", "sockets", "backend-1", "backend-2", "backend-3", "mcp-bridge", *agents]),
        "SUTAZAI_ISSUER": ISSUER,
        "SUTAZAI_ORIGINS": origins,
        "SUTAZAI_PUBLIC_URL": COMPOSE.public_url,
        "SUTAZAI_REPLICAS": str(len(_BACKENDS) + len(agents)),
        "SUTAZAI_TRUSTED_PROXIES": f"172.20.0.{_KONG}/32",
        "SUTAZAI_UI_ORIGINS": origins,
        "SUTAZAI_VECTORS_URL": f"http://vectors:{PORT}",
    }


def _many(
    listed: Sequence[Deployable],
    which: str,
    address: int,
    settings: Mapping[str, str],
    *,
    names: Sequence[str],
    ports: Mapping[int, int] | None = None,
    memory: str = "2g",
    cpus: str = "2.0",
) -> Service:
    return _ours(listed, ["serve", which], address, settings, names=names, ports=ports, memory=memory, cpus=cpus)


def _one(
    each: Deployable,
    address: int,
    settings: Mapping[str, str],
    *,
    names: Sequence[str] | None = None,
    ports: Mapping[int, int] | None = None,
    memory: str = "512m",
    cpus: str = "1.0",
) -> Service:
    names = [each.name] if names is None else names
    return _ours([each], [*each.args], address, settings, names=names, ports=ports, memory=memory, cpus=cpus)


def _ours(
    listed: Sequence[Deployable],
    command: list[str],
    address: int,
    settings: Mapping[str, str],
    *,
    names: Sequence[str],
    memory: str,
    cpus: str,
    ports: Mapping[int, int] | None = None,
    disk: tuple[str, ...] = (),
) -> Service:
    env = {name: value for each in listed for name, value in places(each, secrets_dir=_SECRETS_DIR).items()}
    told = {name for each in listed for name in each.env} & settings.keys()
    mounts = [*disk, *([f"files:{FILES_DIR}"] if any(each.shares_files for each in listed) else [])]
    found = sorted({name for each in listed for name in secrets(each)} - {"s3-url"})
    # On one machine objects need no server: all who share them have the same folder.
    if env.pop("SUTAZAI_S3_URL_FILE", None):
        env["SUTAZAI_OBJECTS_DIR"] = _OBJECTS_DIR
        mounts.append(f"objects:{_OBJECTS_DIR}")
    return service(
        IMAGE,
        address,
        names=names,
        memory=memory,
        cpus=cpus,
        ports=ports,
        health=_HEALTH,
        secrets=[_mounted(name) for name in found],
        build=_BUILD,
        user=f"{USER_ID}:{USER_ID}",
        command=command,
        environment=dict(sorted({**env, **{name: settings[name] for name in told}}.items())),
        **({"volumes": mounts} if mounts else {}),
        depends_on=after(*_stores(listed), done=["migrate", *(["folders"] if mounts else [])]),
        init=True,
        stop_grace_period="60s",
    )


_BUILD = {
    "context": "..",
    "dockerfile": "Dockerfile",
    "args": {"EXTRAS": "all", "LOCK": "requirements.lock requirements-models.lock"},
}


def _mounted(name: str) -> str:
    """Keys that sign are several, each in a file of its own; there is one to begin with."""
    return SIGNING if name == "signing-keys" else name


def _stores(listed: Iterable[Deployable]) -> list[str]:
    return sorted({store for each in listed for store in each.stores} & stores().keys())


def _folders(mounts: Sequence[str]) -> Service:
    """Volumes begin as root's; only this container may give them away, and it does nothing else."""
    folders = [mount.partition(":")[2] for mount in mounts]
    give = f"import os; [os.chown(folder, {USER_ID}, {USER_ID}) for folder in {folders!r}]"
    return {
        **service(IMAGE, _FOLDERS, names=["folders"], memory="64m", cpus="0.5", health=("NONE",), build=_BUILD),
        "user": "0:0",
        "cap_add": ["CHOWN"],
        "entrypoint": ["python", "-c", give],
        "restart": "no",
        "volumes": list(mounts),
    }


def _migrate() -> Service:
    return {
        **service(
            IMAGE,
            _MIGRATE,
            names=["migrate"],
            memory="256m",
            cpus="1.0",
            health=("NONE",),
            secrets=["postgres-url"],
            build=_BUILD,
            user=f"{USER_ID}:{USER_ID}",
            command=["migrate"],
            environment={"SUTAZAI_POSTGRES_URL_FILE": f"{_SECRETS_DIR}/postgres-url"},
            depends_on=after("postgres"),
            init=True,
        ),
        "restart": "no",
    }


def _bridge(each: Deployable, settings: Mapping[str, str]) -> Service:
    return _one(each, _BRIDGE, settings, names=["mcp-bridge", each.name], ports={11100: PORT}, memory="2g", cpus="2.0")


def _vectors(each: Deployable, settings: Mapping[str, str]) -> Service:
    return _ours(
        [each],
        [*each.args],
        _VECTORS,
        settings,
        names=["vectors", "faiss", each.name],
        ports={10103: PORT},
        memory="4g",
        cpus="2.0",
        disk=(f"vectors:{DISK_DIR}",),
    )


def _frontend() -> Service:
    health = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/_stcore/health', timeout=4)"
    return service(
        IMAGE,
        _FRONTEND,
        names=["frontend"],
        memory="1g",
        cpus="1.0",
        ports={11000: PORT},
        health=("CMD", "python", "-c", health),
        secrets=secrets(UI),
        build=_BUILD,
        user=f"{USER_ID}:{USER_ID}",
        command=[*UI.args],
        environment={
            **places(UI, secrets_dir=_SECRETS_DIR),
            "SUTAZAI_API_URL": "http://kong:8000",
            "SUTAZAI_HOSTS": "localhost,127.0.0.1",
            "SUTAZAI_PUBLIC_API_URL": COMPOSE.public_url,
        },
        depends_on=after("kong"),
        init=True,
    )


def _kong() -> Service:
    """Its administration is off: what it does stands in a file. 10009 tells how it is, and counts."""
    return service(
        "kong:3.9.1",
        _KONG,
        names=["kong"],
        memory="1g",
        cpus="1.0",
        ports={10008: 8000, 10009: 8100},
        health=("CMD", "kong", "health"),
        secrets=["kong.yaml"],
        tmp=("/tmp", "/var/run/kong"),  # noqa: S108
        user="kong",
        environment={
            "KONG_ADMIN_LISTEN": "off",
            "KONG_DATABASE": "off",
            "KONG_DECLARATIVE_CONFIG": "/run/secrets/kong.yaml",
            "KONG_HEADERS": "off",
            "KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE": "1m",
            "KONG_PREFIX": "/var/run/kong",
            "KONG_PROXY_ACCESS_LOG": "/dev/stdout",
            "KONG_PROXY_ERROR_LOG": "/dev/stderr",
            "KONG_PROXY_LISTEN": "0.0.0.0:8000",
            "KONG_REAL_IP_HEADER": "X-Forwarded-For",
            "KONG_REAL_IP_RECURSIVE": "on",
            "KONG_ROUTER_FLAVOR": "traditional_compatible",
            "KONG_STATUS_LISTEN": "0.0.0.0:8100",
            # The UI's server says for whom it asks; a page that is asked for from this machine comes by the bridge.
            "KONG_TRUSTED_IPS": f"172.20.0.{_FRONTEND}/32",
        },
        depends_on=after("backend-1", "backend-2", "backend-3"),
        stop_signal="SIGQUIT",
        stop_grace_period="60s",
    )
