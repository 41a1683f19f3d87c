"""Objects in S3, or in what speaks as it does."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.config import Settings
from shared.errors import ConfigurationError, Conflict, NotFound, Unavailable
from shared.ports.objects import StoredObject
from shared.stores.objects.keys import PIECE_BYTES, checked_key, checked_prefix

T = TypeVar("T")

_THREADS = 8
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
# The second where two conditional writes met, and one has to ask again.
_OTHERWISE = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})


class S3Objects:
    """boto3 in threads of its own: it is the client that AWS itself looks after, and it blocks."""

    def __init__(self, *, settings: Settings) -> None:
        endpoint, self._bucket, self._prefix, keys = _place(settings.s3_url)
        self._make: Callable[[], Any] = functools.partial(
            boto3.client,
            "s3",
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=5,
                read_timeout=15,
                retries={"mode": "standard", "max_attempts": 3},
                max_pool_connections=_THREADS,
            ),
            **keys,
        )

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        self._client = await self._run(self._make)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        conditions = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        answer = await self._run(self._client.put_object, Body=content, **self._at(key), **conditions)
        return str(answer["ETag"])

    async def get(self, key: str) -> tuple[bytes, str]:
        def whole() -> tuple[bytes, str]:
            answer = self._client.get_object(**self._at(key))
            return answer["Body"].read(), answer["ETag"]

        return await self._run(whole)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        body = (await self._run(self._client.get_object, **self._at(key)))["Body"]
        try:
            while piece := await self._run(body.read, PIECE_BYTES):
                yield piece
        finally:
            body.close()

    async def delete(self, key: str) -> None:
        await self._run(self._client.delete_object, **self._at(key))

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        asked = {"Bucket": self._bucket, "Prefix": self._prefix + checked_prefix(prefix)}
        while True:
            page = await self._run(self._client.list_objects_v2, **asked)
            for one in page.get("Contents", ()):
                key = one["Key"].removeprefix(self._prefix)
                yield StoredObject(key=key, size_bytes=one["Size"], etag=one["ETag"])
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    async def presigned(self, key: str, *, seconds: int) -> str | None:
        sign = self._client.generate_presigned_url
        return str(await self._run(sign, "get_object", Params=self._at(key), ExpiresIn=seconds))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked_key(key)}

    async def _run(self, work: Callable[..., T], *args: object, **named: object) -> T:
        def told() -> T:
            with _told():
                return work(*args, **named)

        return await asyncio.get_running_loop().run_in_executor(self._threads, told)


def _place(url: str) -> tuple[str | None, str, str, dict[str, str]]:
    """The endpoint, the bucket, the prefix and what else a client is told.

    `s3://bucket/prefix`: AWS, with the credentials of the machine. `https://key:secret@host:port/bucket/prefix`:
    another server. Both take `?region=`. Raises ConfigurationError.
    """
    parts = urlsplit(url)
    where = parts.netloc + parts.path if parts.scheme == "s3" else parts.path.lstrip("/")
    bucket, _, prefix = where.partition("/")
    if parts.scheme not in ("s3", "http", "https") or not bucket:
        raise ConfigurationError("SUTAZAI_S3_URL is neither s3://bucket nor https://key:secret@host/bucket")
    region = parts.query.removeprefix("region=") or "us-east-1"
    prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
    if parts.scheme == "s3":
        return None, bucket, prefix, {"region_name": region} if parts.query else {}
    keys = {"region_name": region}
    if parts.username and parts.password:
        keys |= {
            "aws_access_key_id": unquote(parts.username),
            "aws_secret_access_key": unquote(parts.password),
        }
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}", bucket, prefix, keys


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise NotFound("there is no such object") from exc
        if code in _OTHERWISE:
            raise Conflict("the object is another one by now") from exc
        raise Unavailable("the object store refuses", reason=code) from exc
    except (BotoCoreError, OSError) as exc:
        raise Unavailable("the object store cannot be reached") from exc
