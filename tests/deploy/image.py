"""The images, built and run as on a cluster: `python -m tests.deploy.image [--family NAME ...]`.

As root, on Debian with buildah, runc and debootstrap. The base image is made from Debian's packages, since a daemon
and a registry are not needed to know whether the Dockerfile is right. Sizes are those of unpacked files.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from events.tasks import TaskQueued
from shared import cloud_events
from shared.catalog import all_functions
from shared.config import Settings
from shared.function import Caller
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey
from shared.manifests.cluster import TMP_DIR
from shared.manifests.deployables import Deployable, deployables
from shared.manifests.images import FAMILIES
from shared.ports.tasks import NewTask, Tasks
from shared.stores.postgres.migrate import migrate
from shared.version import VERSION
from shared.wiring import Ports
from tests.deploy.alone import Cluster, answers
from tests.deploy.containers import Builder, Container
from tests.deploy.jail import UID
from tests.deploy.locks import lock
from tests.engine import free_port
from tests.people import place
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import REPOSITORY

BASE = "localhost/sutazai-base"
# What a family adds to its base image. The smallest is what most functions start from.
MOST_MB = {"base": 80, "agents": 85, "graph": 180, "arrays": 160, "documents": 200, "vectors": 900, "ui": 700}
START_CPU_S = 1.0
_COPIED = ("events", "functions", "shared", "ui", "Dockerfile", ".dockerignore", "requirements.lock")
# Whoever builds may have such files beside the code; none may come with it.
_PLANTED = (".env", "functions/__pycache__/planted.pyc", "id_ed25519", "tests/planted.py")
_MARK = "planted-where-no-image-may-have-it"
# Of everybody, in every Debian.
_OPEN_TO_ALL = {"tmp", "var/tmp", "run/lock", "dev/shm", "dev/mqueue"}


@dataclass(frozen=True)
class Started:
    """One deployable in a container of its family's image."""

    deployable: Deployable
    container: Container
    port: int
    cpu_s: float
    wall_s: float

    @property
    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)


@dataclass(frozen=True)
class Somebody:
    """Who is logged in, on stores that containers reach."""

    cluster: Cluster
    ports: Ports
    caller: Caller
    token: str


def context(folder: Path, families: Sequence[str]) -> Path:
    """What is built from: a copy of the code with the families' locks, and things that nobody wants in an image."""
    made = folder / "context"
    made.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in _COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, made / name, ignore=ignored)
        else:
            shutil.copy(source, made / name)
    for family in families:
        (made / f"requirements-{family}.lock").write_text(lock(family))
    for name in _PLANTED:
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(_MARK)
    # As a careless checkout has it.
    for path in (made / "shared").rglob("*.py"):
        path.chmod(0o600)
    return made


def pip_configuration(folder: Path) -> Path:
    """The machine's, whether it lies in files or in the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    settings = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        # A folder of this machine's is not there while an image is built.
        if option and option != "find-links":
            settings[option] = value.strip("'")
    path = folder / "pip.conf"
    path.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""]))
    return path


def strange_files(root: Path) -> list[str]:
    """What must not be there: planted things, pip and compilers, what the container's user could change."""
    found = [str(path) for name in _PLANTED for path in root.rglob(Path(name).name)]
    found += [str(path) for name in ("pip", "setuptools", "ensurepip") for path in root.glob(f"opt/venv/**/{name}")]
    found += [str(path) for path in root.glob("usr/**/ensurepip")]
    found += [str(root / "usr/bin" / name) for name in ("gcc", "cc", "make", "pip", "pip3") if _is(root, name)]
    found += [str(path) for path in (root / "etc/pip.conf", root / "run/secrets") if path.is_file()]
    for folder, folders, files in os.walk(root):
        for path in (Path(folder) / name for name in (*folders, *files)):
            status = path.lstat()
            plain = not path.is_symlink() and not path.is_char_device()
            mine = UID in (status.st_uid, status.st_gid) or status.st_mode & 0o002
            if plain and mine and str(path.relative_to(root)) not in _OPEN_TO_ALL:
                found.append(f"{path} can be written by its user")
    return found


def _is(root: Path, name: str) -> bool:
    return (root / "usr/bin" / name).exists()


def uncompiled(root: Path) -> list[str]:
    """Modules of ours that a start would compile, or look up the time of."""
    missing = []
    for path in (root / "app").rglob("*.py"):
        compiled = list(path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc"))
        # PEP 552: flags are the second word; 1 is a hash that nobody checks.
        if not compiled or int.from_bytes(compiled[0].read_bytes()[4:8], "little") != 1:
            missing.append(str(path))
    return missing


@asynccontextmanager
async def somebody(folder: Path) -> AsyncIterator[Somebody]:
    async with (
        running_postgres(folder / "postgres", fsync=False, say=lambda _: None) as postgres_url,
        running_valkey(folder / "valkey", fsync=False, say=lambda _: None) as redis_url,
    ):
        await migrate(postgres_url)
        cluster = Cluster(folder, {"postgres": postgres_url, "redis": redis_url})
        environ = {"SUTAZAI_HOME": str(folder), "SUTAZAI_KEYS_DIR": str(cluster.make_keys())}
        environ |= {"SUTAZAI_POSTGRES_URL": postgres_url, "SUTAZAI_REDIS_URL": redis_url}
        settings = Settings.read(environ)
        async with place(settings) as here, Ports(settings) as ports:
            await here.register("ada")
            token = (await here.login("ada")).access_token
            yield Somebody(cluster, ports, await here.caller(token), token)


async def work(started: Started, who: Somebody) -> bool:
    """A piece of what it is there for."""
    async with started.client as client:
        match started.deployable.name:
            case "users-get-me":
                answer = await client.get("/api/v1/users/me", headers={"authorization": f"Bearer {who.token}"})
                return answer.status_code == 200 and answer.json()["data"]["username"] == "ada"
            case "everything":
                tasks = await who.ports.open(Tasks)
                user_id = who.caller.user_id
                new = NewTask(user_id=user_id, agent="everything", tool="echo", parameters={"message": "a"})
                (task_id,) = await tasks.accept([new])
                event = cloud_events.envelope(
                    TaskQueued(agent="everything", wanted=1), source="/t", subject="t", agent="everything"
                )
                headers = {"content-type": cloud_events.STRUCTURED}
                answer = await client.post("/", content=cloud_events.encode(event), headers=headers)
                task = await tasks.get(user_id, task_id)
                return answer.status_code == 204 and task is not None and task.status == "succeeded"
            case "ui":
                answer = await client.get("/")
                return answer.status_code == 200 and "<title>" in answer.text
    return True


async def until_ready(container: Container, port: int) -> float:
    """Seconds by the clock. Raises AssertionError with what it said."""
    began = time.monotonic()
    while await answers(port, "/health/ready") != 200:
        assert container.runs and time.monotonic() - began < 90, container.said()
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


async def run_one(folder: Path, builder: Builder, each: Deployable, who: Somebody) -> dict[str, Target]:
    """The deployable in its family's image, from its start to its end."""
    mounted = folder / f"mounted-{each.name}"
    mounted.mkdir()
    port = free_port()
    environ = who.cluster.rendered(each, mounted, Path(TMP_DIR))
    inside = {name: value.replace(str(mounted), "/run/mounted") for name, value in environ.items()}
    for path in [mounted, *mounted.rglob("*")]:
        os.chown(path, UID, UID)
    tag = f"localhost/sutazai:{each.family}"
    configuration = builder.configuration(tag)
    with (
        builder.root(tag) as root,
        Container(
            folder,
            each.name,
            root,
            configuration,
            each.args,
            environ={**inside, "PORT": str(port)},
            mounted={"/run/mounted": mounted},
        ) as container,
    ):
        wall_s = await until_ready(container, port)
        started = Started(each, container, port, cpu_s(container.pid), wall_s)
        print(f"  {each.name:<16} ready after {started.cpu_s:.2f} s of CPU, {wall_s:.2f} s by the clock", flush=True)
        write = "import os; print(os.getuid()); open('/app/planted', 'w')"
        refused = container.inside("python", "-c", write)
        healthy = container.inside("python", "-m", "shared.probe").returncode
        did = await work(started, who)
        said = container.said()
        status = container.stop()
    limit = START_CPU_S * (3 if each.family == "ui" else 1)
    return {
        f"{each.name}: works": exactly(did, True),
        f"{each.name}: CPU seconds to its first answer": at_most(started.cpu_s, limit),
        f"{each.name}: uid": exactly(int(refused.stdout or -1), UID),
        f"{each.name}: files written beside /tmp": exactly("Read-only file system" not in refused.stderr, 0),
        f"{each.name}: its health check's status": exactly(healthy, 0),
        f"{each.name}: status after SIGTERM": exactly(status, 0),
        f"{each.name}: lines that are no JSON": exactly(sum(not line.startswith("{") for line in said.splitlines()), 0),
    }


def built(builder: Builder, folder: Path, families: Sequence[str]) -> dict[str, Target]:
    """All images, and what can be said of them at rest."""
    builder.base(BASE)
    base_bytes = builder.size_bytes(BASE)
    print(f"  {'base image':<16} {base_bytes / 1e6:7.1f} MB")
    made, pip = context(folder, families), pip_configuration(folder)
    targets: dict[str, Target] = {}
    shared_layers: set[str] | None = None
    for family in families:
        extras = ",".join(sorted(FAMILIES[family]))
        arguments = {"BASE": BASE, "LOCK": f"requirements-{family}.lock", "EXTRAS": extras, "VERSION": VERSION}
        tag = f"localhost/sutazai:{family}"
        began = time.monotonic()
        builder.build(made, tag, pip, arguments)
        added_mb = (builder.size_bytes(tag) - base_bytes) / 1e6
        took_s = time.monotonic() - began
        print(
            f"  {family:<16} {base_bytes / 1e6 + added_mb:7.1f} MB, {added_mb:.1f} over its base; {took_s:.0f} s",
            flush=True,
        )
        with builder.root(tag) as root:
            strange, slow = strange_files(root), uncompiled(root)
        print("\n".join((*strange, *slow)), end="\n" if strange or slow else "")
        configuration = builder.configuration(tag)
        targets[f"{family}: MB over its base"] = at_most(added_mb, MOST_MB.get(family, 100))
        targets[f"{family}: files that must not be there"] = exactly(len(strange), 0)
        targets[f"{family}: modules to compile at a start"] = exactly(len(slow), 0)
        targets[f"{family}: a health check and labels"] = exactly(
            "Healthcheck" in configuration
            and configuration["Labels"]["org.opencontainers.image.version"] == VERSION
            and configuration["Labels"]["sutazai.extras"] == extras,
            True,
        )
        layers = builder.layers(tag)
        shared_layers = set(layers) if shared_layers is None else shared_layers & set(layers)
    # Of the base image, of what is taken from it, and of the code.
    targets["layers that all families share"] = at_least(len(shared_layers or ()), 3)
    return targets


async def main(families: Sequence[str]) -> int:
    found = {each.name: each for each in deployables(all_functions())}
    # One of each family that was built, where there is something to ask of it.
    asked = [found[name] for name in ("users-get-me", "everything", "ui") if found[name].family in families]
    with tempfile.TemporaryDirectory(prefix="sutazai-image-") as name:
        folder = Path(name)
        # Servers run as another user where we are root.
        folder.chmod(0o711)
        builder = Builder(folder)
        targets = await asyncio.to_thread(built, builder, folder, families)
        async with somebody(folder) as who:
            for each in asked:
                targets |= await run_one(folder, builder, each, who)
    return report("image", targets)


def _needs(which: Callable[[str], str | None] = shutil.which) -> None:
    if missing := [name for name in ("buildah", "debootstrap", "runc") if which(name) is None]:
        sys.exit(f"this needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes a file system of Debian's packages")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", action="append", choices=list(FAMILIES))
    chosen = parser.parse_args().family or ["base", "agents", "ui"]
    _needs()
    sys.exit(asyncio.run(main(chosen)))
