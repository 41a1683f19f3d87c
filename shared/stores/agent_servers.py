"""Where agents answer: in the workers of this machine, or each in a Service of its own."""

import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from shared.config import Settings
from shared.errors import ConfigurationError
from shared.ports.agent_servers import Place

_LOOK_AGAIN_S = 0.25


class Workers:
    """Who is ready, by the files in which workers say where they listen; each gets a request in turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: deque[str] = deque()
        self._look_at = 0.0

    def in_turn(self) -> list[str]:
        """Addresses, the one whose turn it is first."""
        if time.monotonic() >= self._look_at:
            self._look()
        self._known.rotate(-1)
        return list(self._known)

    def _look(self) -> None:
        found = []
        for path in sorted(self._folder.glob("worker-*.ready")):
            with suppress(FileNotFoundError):
                found.append(path.read_text().strip())
        if set(found) != set(self._known):
            self._known = deque(filter(None, found))
        self._look_at = time.monotonic() + _LOOK_AGAIN_S


class WorkerAgents:
    """Every worker serves every agent."""

    def __init__(self, *, settings: Settings) -> None:
        self._workers = Workers(settings.home / "run")

    def place(self, agent: str) -> Place:
        return Place(self._workers.in_turn(), f"/mcp/{agent}")


class ServiceAgents:
    """By the URL that says where functions are. TLS between them is the mesh's."""

    def __init__(self, *, settings: Settings) -> None:
        if "{name}" not in settings.function_url or urlsplit(settings.function_url).scheme != "http":
            raise ConfigurationError(
                f"SUTAZAI_FUNCTION_URL is {settings.function_url!r}: it says where functions are, with {{name}} in it"
            )
        self._url = settings.function_url
        self._places: dict[str, Place] = {}

    def place(self, agent: str) -> Place:
        if agent not in self._places:
            target = urlsplit(self._url.replace("{name}", agent))
            path = f"{target.path.rstrip('/')}/mcp/{agent}"
            address = f"{target.hostname}:{target.port or 80}"
            self._places[agent] = Place([address], path, host=target.netloc, vouched=True)
        return self._places[agent]
