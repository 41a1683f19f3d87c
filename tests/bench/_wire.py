"""A client that costs little beside what it measures: one keep-alive connection, no checks but the status."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def connect(cls, url: str, token: str) -> Self:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        return cls(reader, writer, head)

    async def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON."""
        self._writer.write(f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), json.loads(await self._reader.readexactly(length))

    def close(self) -> None:
        self._writer.close()
