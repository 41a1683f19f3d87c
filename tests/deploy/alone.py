"""A deployable as a process with nothing but what it is rendered with: its variables, secrets, keys, a temp folder."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from shared.crypto import read_key, signing_seeds
from shared.manifests.cluster import places, settings
from shared.manifests.deployables import Deployable
from tests.deploy.jail import entering
from tests.engine import free_port
from tests.system.platform import REPOSITORY

# Strangers are counted by their address, and here all have the same; the broker here is one server.
HERE = {"SUTAZAI_DEFAULT_TIER": "enterprise", "SUTAZAI_AMQP_PROFILE": "classic"}
# Ends a hang on a machine where many wait for the processor; what is measured is processor time.
START_S, END_S = 90.0, 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cluster:
    """What is the same for all: the stores' addresses, keys, and what an operator sets besides the defaults."""

    folder: Path
    stores: Mapping[str, str]
    environ: Mapping[str, str] = field(default_factory=dict)

    def make_keys(self, *names: str) -> Path:
        keys = self.folder / "keys"
        signing_seeds(keys)
        for name in names:
            read_key(keys, name)
        return keys

    def rendered(self, each: Deployable, mounted: Path, temporary: Path) -> dict[str, str]:
        """Its environment as on a cluster; what would be mounted there lies in `mounted`, and no more."""
        told = {**settings([each]), **HERE, **self.environ}
        environ = {name: told[name] for name in each.env if name in told}
        placed = places(each, secrets_dir=str(mounted))
        # The only folders that may be written, in one.
        writable = {"SUTAZAI_HOME": f"{temporary}/sutazai", "SUTAZAI_FILES_DIR": f"{temporary}/files"}
        environ |= {variable: writable.get(variable, path) for variable, path in placed.items()}
        for store in each.stores:
            if store in self.stores:
                (mounted / f"{store}-url").write_text(self.stores[store])
            else:
                del environ[_variable(placed, f"{store}-url")]
        for name in each.private:
            # As an operator has it who has nothing to say.
            (mounted / name.replace("_", "-")).touch()
        made = self.make_keys(*(key for key in each.keys if key != "signing"))
        for key in each.keys:
            for path in made.glob("signing-*.key" if key == "signing" else f"{key}.key"):
                shutil.copy(path, mounted)
        return environ


def _variable(placed: Mapping[str, str], file: str) -> str:
    return next(variable for variable, path in placed.items() if path.endswith(f"/{file}"))


def image_environ(temporary: Path, port: int) -> dict[str, str]:
    """What the Dockerfile says."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "PORT": str(port),
    }


class Alone:
    """`async with Alone(deployable, cluster, folder) as it:` starts it, and ends it in the end if nobody has."""

    def __init__(
        self,
        deployable: Deployable,
        cluster: Cluster,
        folder: Path,
        *,
        argv: Sequence[str] = (),
        probe: str | None = None,
        jailed: bool = True,
    ) -> None:
        self.deployable = deployable
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._cluster = cluster
        self._mounted = folder / deployable.name / "mounted"
        self._temporary = folder / deployable.name / "tmp"
        # As the image's entry point.
        self._argv = argv or (sys.executable, "-m", "functions", *deployable.args)
        self._probe = probe or deployable.ready_path
        self._jailed = jailed
        self.output = folder / deployable.name / "output"
        self.errors = folder / deployable.name / "errors"
        self.start_cpu_s = self.start_wall_s = 0.0
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        for place in (self._mounted, self._temporary):
            place.mkdir(parents=True)
        environ = image_environ(self._temporary, self.port)
        environ |= self._cluster.rendered(self.deployable, self._mounted, self._temporary)
        began = time.monotonic()
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *(argument.replace("{port}", str(self.port)) for argument in self._argv),
                env=environ,
                # Where nobody can write, and nothing of ours lies.
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                preexec_fn=entering(self._temporary) if self._jailed else None,
            )
        try:
            async with asyncio.timeout(START_S):
                await self._until_ready()
        except BaseException as exc:
            await self.kill()
            raise AssertionError(f"{self.deployable.name} did not become ready:\n{self.said()}") from exc
        self.start_wall_s = time.monotonic() - began
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def _until_ready(self) -> None:
        while True:
            assert self.process.returncode is None, f"it ended with {self.process.returncode}"
            self.start_cpu_s = self.cpu_s()
            if await answers(self.port, self._probe) == 200:
                return
            await asyncio.sleep(0.01)

    def cpu_s(self) -> float:
        """Of the process and its ended children, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float = END_S) -> int:
        """The status that it ends with by itself."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def drained(self) -> None:
        """SIGTERM is its end, in good order: without an error, and with nothing said that is no line of JSON."""
        assert self.own_keys() == []
        self.terminate()
        status = await self.ended()
        assert status in (0, -signal.SIGTERM), f"it ended with {status}:\n{self.said()}"
        assert self.errors.read_text() == "", self.said()
        assert [line for line in self.lines() if line["level"] in ("error", "critical")] == [], self.said()

    def own_keys(self) -> list[str]:
        """Keys that it has made for itself, which no other replica would have."""
        seen = Path(f"/proc/{self.process.pid}/root{self._temporary}")
        return [path.name for path in seen.rglob("*.key")] if self._jailed else []

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def said(self) -> str:
        return f"{self.output.read_text()[-3000:]}\n{self.errors.read_text()[-3000:]}"

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.origin, headers=headers, timeout=60, trust_env=False)


async def answers(port: int, path: str) -> int | None:
    """The status there, or None where nobody listens."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readline()).split(b" ")
        return int(head[1]) if len(head) > 1 else None
    except OSError:
        return None
    finally:
        writer.close()
