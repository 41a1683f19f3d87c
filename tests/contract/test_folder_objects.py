import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.config import Settings
from shared.errors import Conflict, Unavailable
from shared.ports.objects import Objects
from shared.stores.objects.folder import FolderObjects
from tests.contract.objects import *  # noqa: F403
from tests.contract.objects import Opened, play


def _settings(folder: Path) -> Settings:
    return Settings.read({"SUTAZAI_HOME": str(folder)})


@pytest.fixture
def objects(tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Objects]:
        yield FolderObjects(settings=_settings(tmp_path))

    return opened


def _count(folder: Path) -> None:
    """Adds one, a hundred times, by compare and swap."""
    store = FolderObjects(settings=_settings(folder))

    async def main() -> None:
        for _ in range(100):
            while True:
                content, etag = await store.get("count")
                try:
                    await store.put("count", b"%d" % (int(content) + 1), if_match=etag)
                except Conflict:
                    continue
                break

    asyncio.run(main())


def test_of_several_processes_that_swap_one_at_a_time_does(tmp_path: Path) -> None:
    store = FolderObjects(settings=_settings(tmp_path))
    asyncio.run(store.put("count", b"0"))
    spawning = multiprocessing.get_context("spawn")
    processes = [spawning.Process(target=_count, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert asyncio.run(store.get("count"))[0] == b"300"


def test_what_cannot_be_written_is_unavailable_and_leaves_nothing(objects: Opened, tmp_path: Path) -> None:
    async def scenario(store: Objects) -> None:
        await store.put("file", b"old")
        with pytest.raises(Unavailable):
            await store.put("file/below", b"new")
        assert (await store.get("file"))[0] == b"old"

    play(objects, scenario)
    assert [path.name for path in (tmp_path / "objects").iterdir() if path.name != ".lock"] == ["file"]
