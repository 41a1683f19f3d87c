"""Functions behind a gateway, a mesh or a port of their own: CloudEvents over HTTP, by the brokers' retry rule."""

from typing import TYPE_CHECKING, Self

from events.base import Envelope
from shared import cloud_events
from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable
from shared.ports.functions import Refused

if TYPE_CHECKING:
    import httpx

# What Knative's brokers and sources try again; any other answer but success is final.
_AGAIN = frozenset({404, 408, 409, 429})
_CONNECT_S = 5.0


class HttpFunctions:
    def __init__(self, *, settings: Settings) -> None:
        if "{name}" not in settings.function_url:
            raise ConfigurationError(
                f"SUTAZAI_FUNCTION_URL is {settings.function_url!r}: it says where functions are, with {{name}} in it"
            )
        self._url = settings.function_url
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx

        # As many at once as its callers have slots; addresses come from the operator, never from a user.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx.AsyncClient(trust_env=False, limits=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._client is not None
        await self._client.aclose()

    async def send(self, name: str, event: Envelope, *, timeout_s: float) -> None:
        import httpx

        assert self._client is not None, "used before it was opened"
        try:
            answer = await self._client.post(
                self._url.replace("{name}", name),
                content=cloud_events.encode(event),
                headers={"content-type": cloud_events.STRUCTURED},
                timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            )
        except httpx.TransportError as exc:
            raise Unavailable(f"the function {name!r} cannot be reached") from exc
        if answer.status_code in _AGAIN or answer.status_code >= 500:
            raise Unavailable(f"the function {name!r} answered {answer.status_code}")
        if not answer.is_success:
            raise Refused(f"the function {name!r} answered {answer.status_code}")
