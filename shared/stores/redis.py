"""The cache between invocations: what it cannot answer at once is a miss, nothing lies in it alone."""

import asyncio
import contextlib
import hashlib
import importlib
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Self, TypeVar

from shared.config import Settings

T = TypeVar("T")

_OPERATION_S = 0.1
_CONNECT_S = 1.0
# Importing the driver takes 130 ms of CPU: not before the answer that asked for it is out.
_IMPORT_AFTER_S = 0.25
_RETRY_FIRST_S, _RETRY_LAST_S = 0.5, 5.0
_CONNECTIONS = 32

logger = logging.getLogger(__name__)


class Script:
    """Lua that runs in one step, sent whole only to a server that does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        # What Redis calls a script by; nothing is proven by it.
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Cache:
    """Connects in the background after its first use; a failure closes it until it connects anew."""

    def __init__(self, *, settings: Settings) -> None:
        self._url = settings.redis_url
        self._client: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._retry_s = _RETRY_FIRST_S
        self._closed = not settings.redis_url
        self._failed_at = float("-inf")
        self._urgent = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._drop(self._client)

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def get(self, key: str) -> bytes | None:
        client = self._ready()
        if client is None:
            return None
        return await self._bounded(client, client.get(key))

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        if (client := self._ready()) is not None:
            await self._bounded(client, client.set(key, value, px=ttl_ms))

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """One trip for all of them."""
        client = self._ready()
        found = None if client is None or not keys else await self._bounded(client, client.mget(keys))
        return found or [None] * len(keys)

    async def set_many(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None:
        """One trip for all of them, though not in one step."""
        if len(values) == 1:
            [(key, value)] = values.items()
            await self.set(key, value, ttl_ms=ttl_ms)
        elif (client := self._ready()) is not None:
            pipeline = client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, px=ttl_ms)
            await self._bounded(client, pipeline.execute())

    async def delete(self, key: str) -> None:
        if (client := self._ready()) is not None:
            await self._bounded(client, client.delete(key))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[int | str]) -> Any:
        """What the script returns; None where it may or may not have run."""
        client = self._ready()
        return None if client is None else await self._bounded(client, _run(client, script, keys, arguments))

    async def reach(self, *, within_s: float) -> bool:
        """Whether it is connected; a no is at most so old, and is waited for where it is not."""
        self._ready()
        if self._client is None and self._connecting is not None and time.monotonic() - self._failed_at > within_s:
            self._urgent.set()
            await asyncio.wait([self._connecting])
        return self._client is not None

    async def ping(self) -> bool:
        """Whether it answers now; the first time, waits until it is connected."""
        client = self._ready()
        if client is None and self._connecting is not None:
            await asyncio.wait([self._connecting])
            client = self._client
        return client is not None and await self._bounded(client, client.ping()) is not None

    def _ready(self) -> Any:
        if (
            self._client is None
            and not self._closed
            and self._connecting is None
            and time.monotonic() >= self._retry_at
        ):
            self._connecting = asyncio.create_task(self._connect())
        return self._client

    async def _bounded(self, client: Any, work: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(_OPERATION_S):
                return await work
        # The driver's errors, those of sockets, and what it raises on an answer that makes no sense.
        except Exception as exc:
            logger.warning("the cache failed: %s", type(exc).__name__)
            await self._drop(client)
            return None

    async def _connect(self) -> None:
        client: Any = None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IMPORT_AFTER_S):
                    await self._urgent.wait()
            driver: Any = await asyncio.to_thread(importlib.import_module, "redis.asyncio")
            backoff: Any = importlib.import_module("redis.backoff")
            retry: Any = importlib.import_module("redis.asyncio.retry")
            client = driver.from_url(
                self._url,
                max_connections=_CONNECTIONS,
                socket_timeout=_OPERATION_S,
                socket_connect_timeout=_CONNECT_S,
                retry=retry.Retry(backoff.NoBackoff(), 0),
                protocol=2,
            )
            async with asyncio.timeout(_CONNECT_S):
                await client.ping()
            self._client, self._retry_s = client, _RETRY_FIRST_S
        except Exception as exc:
            logger.warning("the cache cannot be reached: %s", type(exc).__name__)
            self._failed_at = time.monotonic()
            await self._drop(client)
        finally:
            self._connecting = None

    async def _drop(self, client: Any) -> None:
        """Connections with an answer still under way must not be used again."""
        if client is None:
            return
        if client is self._client or self._client is None:
            self._client = None
            self._failed_at = time.monotonic()
            self._retry_at = self._failed_at + self._retry_s
            self._retry_s = min(_RETRY_LAST_S, self._retry_s * 2)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_OPERATION_S):
                await client.aclose(close_connection_pool=True)


async def _run(client: Any, script: Script, keys: Sequence[str], arguments: Sequence[int | str]) -> Any:
    exceptions: Any = importlib.import_module("redis.exceptions")
    try:
        return await client.evalsha(script.digest, len(keys), *keys, *arguments)
    except exceptions.NoScriptError:
        return await client.eval(script.text, len(keys), *keys, *arguments)
