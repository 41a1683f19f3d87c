"""Signed requests to the vector service, over connections that are kept. Whoever asks only how it is needs no numpy."""

import asyncio
from typing import Self
from urllib.parse import urlsplit

from shared.config import Settings
from shared.deadline import Deadline
from shared.errors import Busy, ConfigurationError, Conflict, Invalid, NotFound, SutazaiError, Unavailable
from shared.strict_json import load
from shared.upstream import Broken, Idle, Upstream
from shared.vectors.serving.signing import HEADER, Signer

_CONNECT_S = 1.0
_ERRORS: dict[str, type[SutazaiError]] = {error.code: error for error in (Conflict, Invalid, NotFound)}


class VectorRequests:
    def __init__(self, *, settings: Settings) -> None:
        self._address, self._host = _place(settings.vectors_url)
        self._keys_dir = settings.keys_dir
        self._signer: Signer | None = None
        self._idle = Idle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._idle.close()

    @property
    def is_there(self) -> bool:
        """Whether there is meant to be such a service."""
        return bool(self._address)

    async def ask(self, path: str, body: bytes, *, within_s: float) -> bytes:
        """Raises Unavailable, and what the service says is wrong."""
        if not self._address:
            raise Unavailable("there is no vector service here")
        try:
            with Deadline(within_s):
                status, answer = await self._exchange(path, body)
        except (OSError, TimeoutError, Broken) as exc:
            raise Unavailable("the vector service does not answer") from exc
        if status == 200:
            return answer
        raise _error(status, answer)

    async def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        self._signer = self._signer or Signer(self._keys_dir)
        headers = ((b"host", self._host), (HEADER, self._signer.sign(path, body)))
        while True:
            upstream, is_kept = await self._connected()
            try:
                upstream.send("POST", path, headers, body)
                head = await upstream.head()
                answer = await upstream.whole(head)
            except Broken:
                upstream.close()
                # Its other end had gone meanwhile, with whatever it had not read; asking again changes nothing there.
                if is_kept:
                    continue
                raise
            except BaseException:
                upstream.close()
                raise
            self._idle.keep(upstream, head)
            return head.status, answer

    async def _connected(self) -> tuple[Upstream, bool]:
        """And whether it has been used before."""
        if (upstream := self._idle.take()) is not None:
            return upstream, True
        async with asyncio.timeout(_CONNECT_S):
            return await Upstream.connect(self._address), False


def _place(url: str) -> tuple[str, bytes]:
    """An address, and what it goes by; empty where there is no service. Raises ConfigurationError."""
    if not url:
        return "", b""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path:
        raise ConfigurationError(f"SUTAZAI_VECTORS_URL is no URL such as http://vectors: {url!r}")
    return f"{parts.hostname}:{parts.port or 80}", parts.netloc.encode()


def _error(status: int, body: bytes) -> SutazaiError:
    try:
        said = load(body)
    except ValueError:
        said = None
    match said:
        case {"code": str(code), "message": str(message), "details": dict(details)} if code in _ERRORS:
            error = _ERRORS[code](message)
            error.details.update(details)
            return error
        case {"message": str(message), "details": {"retry_after": int(retry_after)}} if status == 503:
            return Busy(message, retry_after=retry_after)
        case {"message": str(message)} if status == 503:
            return Unavailable(message)
    return Unavailable("the vector service is not ready" if status == 503 else f"the vector service answered {status}")
