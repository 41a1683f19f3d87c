"""How the upstreams of this process's bridge fare, for the bridge itself and for whoever asks how all is."""

import time

from shared.breaker import Breaker
from shared.errors import Unavailable
from shared.mcp.bridge.metrics import Metrics
from shared.mcp.bridge.scheduler import Scheduler


class BridgeState:
    """One for each process."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.metrics = Metrics()
        self._breakers: dict[str, Breaker] = {}

    def breaker(self, upstream: str) -> Breaker:
        if (breaker := self._breakers.get(upstream)) is None:
            breaker = self._breakers[upstream] = Breaker(upstream)
        return breaker

    @property
    def failing(self) -> list[str]:
        return sorted(name for name, breaker in self._breakers.items() if breaker.is_open)

    def begin(self, upstream: str) -> "Passage":
        """Raises Unavailable where there is no room, or it is left alone for a while."""
        try:
            self.scheduler.enter(upstream)
            try:
                self.breaker(upstream).admit()
            except Unavailable:
                self.scheduler.leave(upstream)
                raise
        except Unavailable:
            self.metrics.refused(upstream)
            raise
        return Passage(self, upstream)


class Passage:
    """One request on its way; whatever becomes of it, it is closed in the end."""

    __slots__ = ("_began", "_closed", "_state", "_upstream")

    def __init__(self, state: BridgeState, upstream: str) -> None:
        self._state = state
        self._upstream = upstream
        self._began = time.perf_counter()
        self._closed = False

    def answered(self) -> None:
        self._state.breaker(self._upstream).succeeded()
        self._state.metrics.answered(self._upstream, time.perf_counter() - self._began)

    def failed(self) -> None:
        self._state.breaker(self._upstream).failed()
        self._state.metrics.failed(self._upstream, time.perf_counter() - self._began)

    def left(self) -> None:
        self._state.breaker(self._upstream).left()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._state.scheduler.leave(self._upstream)
