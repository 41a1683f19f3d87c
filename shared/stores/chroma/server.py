"""Chroma on a server."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import chromadb
from chromadb.config import Settings as ChromaSettings

from shared.config import Settings
from shared.errors import ConfigurationError, NotFound, Unavailable
from shared.stores.chroma._errors import told
from shared.stores.chroma.records import ChromaRecords, configuration, pages

_LISTED = 1000


class ChromaServer(ChromaRecords):
    def __init__(self, *, settings: Settings) -> None:
        super().__init__()
        self._place = _place(settings.chroma_url)
        self._connecting = asyncio.Lock()
        self._connected: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connected is not None:
            # It has no way of its own to be closed, and keeps its connections beyond the loop they belong to.
            await self._connected._server.__aexit__(None, None, None)  # noqa: SLF001

    async def _do(self, call: Callable[..., Any], **named: Any) -> Any:
        with told():
            return await call(**named)

    async def _collection(self, name: str) -> Any:
        return await self._do((await self._client()).get_collection, name=name, embedding_function=None)

    async def _create(self, name: str, distance: str) -> None:
        create = (await self._client()).get_or_create_collection
        await self._do(create, name=name, embedding_function=None, configuration=configuration(distance))

    async def _delete(self, name: str) -> None:
        delete = (await self._client()).delete_collection
        with suppress(NotFound):
            await self._do(delete, name=name)

    async def _names(self) -> Sequence[str]:
        listed = (await self._client()).list_collections
        return await pages(lambda start: self._do(listed, limit=_LISTED, offset=start))

    async def _client(self) -> Any:
        """Asks the server for its tenant when it connects, and so does not before somebody needs it."""
        async with self._connecting:
            if self._connected is None:
                try:
                    with told():
                        self._connected = await chromadb.AsyncHttpClient(**self._place)
                except ValueError as exc:
                    raise Unavailable("Chroma cannot be reached") from exc
            return self._connected


def _place(url: str) -> dict[str, Any]:
    """`https://:token@host:8000`. Raises ConfigurationError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ConfigurationError("SUTAZAI_CHROMA_URL is not a URL such as https://:token@host:8000")
    headers = {"Authorization": f"Bearer {unquote(parts.password)}"} if parts.password else {}
    return {
        "host": parts.hostname,
        "port": parts.port or 8000,
        "ssl": parts.scheme == "https",
        "headers": headers,
        # Its client would take any certificate.
        "settings": ChromaSettings(anonymized_telemetry=False, chroma_server_ssl_verify=True),
    }
