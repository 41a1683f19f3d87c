import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from shared.config import Settings
from shared.errors import ConfigurationError
from shared.ports.vector_engine import VectorEngine
from shared.stores.chroma.server import ChromaServer
from tests.contract.engines.playing import (
    Engines,
    filled,
    gone,
    new_space,
    play,
    point,
    same_search,
    same_state,
    wanted,
)
from tests.contract.vector_engines import *  # noqa: F403
from tests.engine import free_port, mortal
from tests.vectors.oracle import Oracle


def _settings(url: str) -> Settings:
    return Settings.read({"SUTAZAI_CHROMA_URL": url})


@contextmanager
def running_chroma(folder: Path, port: int = 0) -> Iterator[str]:
    """A server of our own, killed when the block is left."""
    port = port or free_port()
    log = (folder / "log").open("ab")
    chroma = Path(sys.executable).with_name("chroma")
    process = subprocess.Popen(
        mortal([chroma, "run", "--path", folder / "data", "--host", "127.0.0.1", "--port", str(port)]),
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "ANONYMIZED_TELEMETRY": "False"},
    )
    try:
        _wait_for(process, f"http://127.0.0.1:{port}/api/v2/heartbeat", folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        log.close()


def _wait_for(process: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError((folder / "log").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_chroma(tmp_path_factory.mktemp("chroma")) as url:
        yield url


class Servers:
    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[VectorEngine]:
        async with ChromaServer(settings=_settings(self._url)) as engine:
            yield engine

    @asynccontextmanager
    async def away(self) -> AsyncIterator[VectorEngine]:
        async with Servers("http://127.0.0.1:9").opened() as engine:
            yield engine


@pytest.fixture
def engines(server: str) -> Engines:
    return Servers(server)


def test_a_server_that_was_killed_has_everything_again(tmp_path: Path) -> None:
    space = new_space()
    oracle = Oracle()

    async def before(engine: VectorEngine) -> None:
        for one in (engine, oracle):
            await one.ensure(space)
            await one.apply(space, [point(n, metadata={"n": n}) for n in range(1, 200)], upto_seq=199)
            await one.apply(space, [gone(5, 200)], upto_seq=200)

    async def after(engine: VectorEngine) -> None:
        await same_state(engine, oracle, space)
        await same_search(engine, oracle, space, wanted())

    for scenario in (before, after):
        with running_chroma(tmp_path) as url:
            play(Servers(url).opened, scenario)


def test_an_engine_outlives_its_server(tmp_path: Path) -> None:
    """The client that was connected before is as good as a new one."""
    port = free_port()
    space = new_space()

    async def main() -> None:
        async with Servers(f"http://127.0.0.1:{port}").opened() as engine:
            with running_chroma(tmp_path, port):
                oracle = await filled(engine, space, [point(1), point(2)])
            assert (await engine.health()).status == "down"
            with running_chroma(tmp_path, port):
                await same_state(engine, oracle, space)

    asyncio.run(main())


@pytest.mark.parametrize("url", ["", "chroma", "ftp://host", "http://", "https://host/path"])
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SUTAZAI_CHROMA_URL is not"):
        ChromaServer(settings=_settings(url))
