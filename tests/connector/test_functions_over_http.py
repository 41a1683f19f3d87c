"""Functions as processes of their own behind a gateway like OpenFaaS's, fed from RabbitMQ by the connector."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from events.base import Envelope
from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable
from shared.ports.functions import Refused
from shared.ports.tasks import NewTask, Task, Tasks
from shared.stores.functions import HttpFunctions
from shared.wiring import Ports
from tests.engine import free_port
from tests.system.platform import REPOSITORY

EVENT = Envelope(id="1", source="/functions/test", type="bell.rang.v1", data={"number": 1})


@asynccontextmanager
async def answering(status: int | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A function's address that answers everything alike, or never, and what was asked of it."""
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if status:
            writer.write(f"HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/function/{{name}}", asked
        for writer in writers:
            writer.close()
            await writer.wait_closed()


def send(status: int | None, *, timeout_s: float = 5.0) -> bytes:
    async def scenario() -> bytes | Exception:
        async with answering(status) as (url, asked):
            settings = Settings.read({"SUTAZAI_FUNCTION_URL": url})
            async with HttpFunctions(settings=settings) as functions:
                try:
                    await functions.send("bell-listen", EVENT, timeout_s=timeout_s)
                except (Unavailable, Refused) as error:
                    # The address is closed in good order first.
                    return error
            return asked[0]

    ended = asyncio.run(scenario())
    if isinstance(ended, Exception):
        raise ended
    return ended


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_is_the_end_of_it(status: int) -> None:
    head = send(status)
    assert head.startswith(b"POST /function/bell-listen HTTP/1.1\r\n")
    assert b"content-type: application/cloudevents+json" in head


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 502, 503, 504])
def test_what_brokers_try_again_is_tried_again(status: int) -> None:
    with pytest.raises(Unavailable):
        send(status)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 413, 422])
def test_any_other_answer_is_final(status: int) -> None:
    with pytest.raises(Refused):
        send(status)


def test_a_function_that_hangs_or_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        send(None, timeout_s=0.1)

    async def nobody() -> None:
        settings = Settings.read({"SUTAZAI_FUNCTION_URL": f"http://127.0.0.1:{free_port()}/{{name}}"})
        async with HttpFunctions(settings=settings) as functions:
            await functions.send("bell-listen", EVENT, timeout_s=1)

    with pytest.raises(Unavailable):
        asyncio.run(nobody())


def test_an_address_without_a_place_for_the_name_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match="name"):
        HttpFunctions(settings=Settings.read({"SUTAZAI_FUNCTION_URL": "http://gateway:8080/function"}))


@asynccontextmanager
async def _gateway(ports: dict[str, int]) -> AsyncIterator[str]:
    """/function/<name> leads to the process of that name."""
    client = httpx.AsyncClient(trust_env=False, timeout=60)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [length] = [int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        name = head.split(" ")[1].removeprefix("/function/")
        answer = await client.post(
            f"http://127.0.0.1:{ports[name]}/",
            content=await reader.readexactly(length),
            headers={"content-type": "application/cloudevents+json"},
        )
        writer.write(f"HTTP/1.1 {answer.status_code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with server, client:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/function/{{name}}"


@contextmanager
def _process(environ: dict[str, str], log: Path, *arguments: str) -> Iterator[None]:
    serve = [sys.executable, "-m", "functions", "serve", "--host", "127.0.0.1", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(serve, cwd=REPOSITORY, env=environ, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_tasks_are_done_by_an_agent_that_only_the_connector_wakes(
    settings: Settings, database_url: str, redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    async def scenario() -> list[Task | None]:
        ports = {"everything": free_port(), "filesystem": free_port(), "http-fetch": free_port()}
        async with asyncio.timeout(60), _gateway(ports) as url, Ports(settings) as opened:
            environ = {
                **os.environ,
                "SUTAZAI_HOME": str(tmp_path),
                "SUTAZAI_POSTGRES_URL": database_url,
                "SUTAZAI_REDIS_URL": redis_url,
                "SUTAZAI_AMQP_URL": amqp_url,
                "SUTAZAI_FUNCTION_URL": url,
            }
            logs = iter(tmp_path / f"{n}.log" for n in range(9))
            agent = ("--agent", "everything", "--port", str(ports["everything"]))
            with (
                _process(environ, next(logs), "keep", "--port", str(free_port())),
                _process(environ, next(logs), "connect", "--port", str(free_port())),
                _process(environ, next(logs), *agent),
            ):
                tasks = await opened.open(Tasks)
                user = uuid4()
                new = [
                    NewTask(user_id=user, agent="everything", tool="echo", parameters={"message": str(n)})
                    for n in range(50)
                ]
                ids = await tasks.accept(new)
                return [await tasks.wait(user, task_id, 50) for task_id in ids]

    done = asyncio.run(scenario())
    assert [task and task.status for task in done] == ["succeeded"] * 50
