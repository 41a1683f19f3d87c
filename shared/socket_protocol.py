"""uvicorn's WebSockets, with the bounds that it does not set itself."""

import logging
import socket
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

# What the kernel holds for a client that does not read counts too.
SEND_BUFFER_BYTES = 128 * 1024
# Empty fragments weigh nothing in a limit of bytes.
MOST_FRAGMENTS = 256
CLOSE_S = 10.0

_logger = logging.getLogger("sutazai.sockets.wire")
_logger.setLevel(logging.WARNING)


class BoundedSocket(WebSocketsSansIOProtocol):
    """A client that takes nothing can neither fill our memory nor keep its connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Else each socket is a line with its whole URL.
        self.logger = _logger

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        if (wire := transport.get_extra_info("socket")) is not None:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def handle_ping(self) -> None:
        # Whoever pings without reading would make pongs pile up.
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) >= MOST_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
        else:
            super().handle_cont(event)

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        # What was written last would wait for a reader that is gone.
        self.transport.abort()

    async def send(self, message: Any) -> None:
        if message["type"] != "websocket.close":
            await super().send(message)
            return
        # The farewell follows what is buffered already; only a reader sees it, so nobody waits for one.
        self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)
