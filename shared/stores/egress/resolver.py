"""Names to addresses, through the system's resolver."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from shared.errors import ToolError, Unavailable

_RESOLVE_S = 5.0
# A name whose servers are silent holds a thread for as long as the system waits, so they are no one else's.
_THREADS = 16
_PASSING = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)


class SystemResolver:
    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> "SystemResolver":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def resolve(self, host: str) -> Sequence[str]:
        self._threads = self._threads or ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")
        try:
            async with asyncio.timeout(_RESOLVE_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host)
        except TimeoutError as exc:
            raise Unavailable(f"no address of {host!r} was found within {_RESOLVE_S:g} s") from exc
        except socket.gaierror as exc:
            if exc.errno in _PASSING:
                raise Unavailable(f"no address of {host!r} can be found now") from exc
            raise ToolError(f"no host is named {host!r}; check the spelling of the URL") from exc


def _addresses(host: str) -> Sequence[str]:
    # As bytes: given text, Python would first apply an older standard for international names.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
