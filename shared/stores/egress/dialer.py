"""Connections to addresses that were decided on; nothing is looked up here."""

import asyncio
import socket

from shared.stores.egress.addresses import Address


class Dialer:
    async def connect(self, address: Address, port: int) -> socket.socket:
        """Raises OSError."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
        except BaseException:
            connection.close()
            raise
        return connection


def is_this_machine(address: Address) -> bool:
    """Whether packets to it would come back: a machine may have public addresses, and our services listen on them."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # For a datagram socket this asks the routes and sends nothing.
            probe.connect((str(address), 9))
        except OSError:
            return False
        return str(probe.getsockname()[0]) == str(address)
