import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable
from shared.ports.objects import Objects
from shared.stores.objects.s3 import S3Objects
from tests.contract.objects import *  # noqa: F403
from tests.contract.objects import Opened, play


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


def _settings(url: str) -> Settings:
    return Settings.read({"SUTAZAI_S3_URL": url})


@pytest.fixture
def objects(server: str) -> Iterator[Opened]:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{server}",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="sutazai")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Objects]:
        async with S3Objects(settings=_settings(f"http://key:secret@{server}/sutazai/some/where")) as store:
            yield store

    yield opened
    for stored in client.list_objects_v2(Bucket="sutazai").get("Contents", ()):
        assert stored["Key"].startswith("some/where/")
        client.delete_object(Bucket="sutazai", Key=stored["Key"])


def test_who_has_the_url_gets_the_object(objects: Opened) -> None:
    async def scenario(store: Objects) -> None:
        await store.put("users/a", b"content")
        url = await store.presigned("users/a", seconds=60)
        assert url is not None and "secret" not in url
        answer = await asyncio.to_thread(httpx.get, url)
        assert (answer.status_code, answer.content) == (200, b"content")

    play(objects, scenario)


@pytest.mark.parametrize("url", ["sutazai", "s3://", "http://host", "ftp://host/bucket"])
def test_what_names_no_bucket_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SUTAZAI_S3_URL is neither"):
        S3Objects(settings=_settings(url))


def test_a_store_that_does_not_answer_is_unavailable() -> None:
    async def main() -> None:
        async with S3Objects(settings=_settings("http://key:secret@127.0.0.1:9/bucket")) as store:
            with pytest.raises(Unavailable):
                await store.get("key")

    asyncio.run(main())
