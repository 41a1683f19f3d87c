"""Which engines this process can open, each when a collection first asks for it."""

from typing import Self

from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable
from shared.ports.objects import Objects
from shared.ports.vector_engine import Backend, Chroma, Faiss, Qdrant, VectorEngine
from shared.wiring import Ports


class Engines:
    """Drivers of engines are large, and Chroma's is not installed everywhere."""

    def __init__(self, *, settings: Settings, objects: Objects) -> None:
        self._settings = settings
        self._ports = Ports(settings, {Objects: objects})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ports.__aexit__()

    def is_shared(self, backend: Backend) -> bool:
        """Whether it is a server, which holds the same for all replicas of this service."""
        urls = {"qdrant": self._settings.qdrant_url, "chroma": self._settings.chroma_url}
        return bool(urls.get(backend))

    async def open(self, backend: Backend) -> VectorEngine:
        """The same one each time. Raises Unavailable, which says what is missing."""
        try:
            match backend:
                case "faiss":
                    return await self._ports.open(Faiss)
                case "qdrant":
                    return await self._ports.open(Qdrant)
                case "chroma":
                    return await self._ports.open(Chroma)
        except ImportError as exc:
            raise Unavailable(f"{backend} is not installed here: {exc.name or exc} is missing") from exc
        except ConfigurationError as exc:
            raise Unavailable(str(exc)) from exc
