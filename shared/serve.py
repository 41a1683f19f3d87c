"""Functions become one ASGI app on uvicorn: ports open with it, and close after it has drained."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from shared.asgi import Answer, Disconnected, Receive, Request, Scope, Send, failure, send_answer, send_pieces
from shared.config import Settings
from shared.deadline import Deadline
from shared.door import Door
from shared.endpoints import Endpoint, HttpEndpoint, Opened
from shared.errors import MethodNotAllowed, NotFound, SutazaiError, TimedOut, Unavailable
from shared.function import Http, Mcp, OnEvent, Spec, Tool, WebSocket
from shared.gauges import CONTENT_TYPE, Gauges
from shared.routing import Routes
from shared.wiring import Ports

if TYPE_CHECKING:
    import socket

    from uvicorn.server import Server

    from shared.sockets import SocketEndpoint

logger = logging.getLogger("sutazai.serve")

SOCKET_FRAME_BYTES = 64 * 1024
# Within the 30 s that platforms leave between SIGTERM and SIGKILL.
DRAIN_S = 20


class App:
    """Serves the given functions: routes under their paths, events and agents' actions at `/`.

    `beside`: what else lives as long as the app, with the same ports; `routes`: what leads to it. `ports`: opened
    before, and closed by whoever has opened them.
    """

    def __init__(
        self,
        specs: Iterable[Spec],
        *,
        settings: Settings | None = None,
        overrides: dict[type, object] | None = None,
        beside: Iterable[Opened] = (),
        routes: Iterable[tuple[str, str, Endpoint]] = (),
        ports: Ports | None = None,
    ) -> None:
        specs = tuple(specs)
        self._settings = settings
        self._overrides = overrides or {}
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._ready = False
        self._stopping = asyncio.Event()
        self._stops: list[Callable[[], None]] = [self._stopping.set]
        self._routes: Routes[Endpoint] = Routes()
        self._sockets: dict[str, SocketEndpoint] = {}
        self._opened: list[Opened] = list(beside)
        self._ports = ports
        self._door = Door()
        # Only inside a cluster: where callers come to, they would read it too.
        self._gauges = None if specs else Gauges()
        for route in routes:
            self._routes.add(*route)
        for spec in specs:
            if isinstance(spec.trigger, Http):
                endpoint = HttpEndpoint(spec)
                self._routes.add(spec.trigger.method, spec.trigger.path, endpoint)
                self._opened.append(endpoint)
            elif isinstance(spec.trigger, WebSocket):
                self._add_socket(spec)
            elif isinstance(spec.trigger, Mcp):
                self._add_bridge(spec)
        # An endpoint's process imports neither what consumes events nor what runs tasks.
        if events := [spec for spec in specs if isinstance(spec.trigger, OnEvent)]:
            self._add_consumers(events)
        elif actions := [spec for spec in specs if isinstance(spec.trigger, Tool)]:
            self._add_agent(tuple(actions))

    @property
    def has_sockets(self) -> bool:
        return bool(self._sockets)

    def stop(self) -> None:
        """Whatever would hold up the end: streams, whose clients come back to whoever is next, and claiming tasks."""
        for stop in self._stops:
            stop()

    def _add_socket(self, spec: Spec) -> None:
        from shared.sockets import SocketEndpoint

        endpoint = SocketEndpoint(spec)
        self._opened.append(endpoint)
        self._sockets[endpoint.path] = endpoint

    def _add_bridge(self, spec: Spec) -> None:
        from shared.mcp.bridge.endpoint import BridgeEndpoint

        endpoint = BridgeEndpoint(spec)
        self._opened.append(endpoint)
        for route in endpoint.routes:
            self._routes.add(*route)

    def _add_consumers(self, specs: list[Spec]) -> None:
        from shared.consumer import EventEndpoint

        endpoint = EventEndpoint(specs)
        self._opened.append(endpoint)
        self._routes.add("POST", "/", endpoint)

    def _add_agent(self, actions: tuple[Spec, ...]) -> None:
        from shared.agent import AgentEndpoints

        agent = AgentEndpoints(actions)
        self._opened.append(agent)
        self._stops.append(agent.stop)
        self._routes.add("POST", "/", agent.wake_up)
        for endpoint in agent.attached:
            self._routes.add("POST", f"/{endpoint.spec.tool.name}", endpoint)
        for route in agent.mcp.routes:
            self._routes.add(*route)

    async def open(self) -> None:
        """Opens all ports; the first request does it where a host has no lifespan. Raises Unavailable."""
        async with self._opening:
            if self._ready:
                return
            # What was opened before one failed is closed again: the next request starts over.
            async with AsyncExitStack() as stack:
                ports = self._ports
                if ports is None:
                    settings = self._settings or Settings.read()
                    own: dict[type, object] = {Door: self._door}
                    if self._gauges is not None:
                        own[Gauges] = self._gauges
                    ports = await stack.enter_async_context(Ports(settings, {**own, **self._overrides}))
                for opened in self._opened:
                    await stack.enter_async_context(opened.opened(ports))
                self._stack = stack.pop_all()
            self._ready = True

    async def close(self) -> None:
        await self._stack.aclose()
        self._ready = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        await self.open()
        try:
            yield self
        finally:
            await self.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            behind = self._door.behind
            if behind is not None and scope["path"] != "/metrics" and not scope["path"].startswith("/health/"):
                await behind(scope, receive, send)
            else:
                await self._serve(Request(scope, receive), send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._converse(scope, receive, send)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A socket that is refused before it opens gets the answer of a request."""
        request = Request({**scope, "method": "GET"}, receive)
        try:
            request.check_headers()
            endpoint = self._sockets.get(request.path)
            if endpoint is None:
                raise NotFound(f"no socket is served at {request.path[:200]!r}")
            if not self._ready:
                await self.open()
        except SutazaiError as error:
            await receive()
            await send_answer(_denying(send), failure(request.request_id, error), request.request_id)
        else:
            await endpoint.serve(scope, receive, send)

    async def _serve(self, request: Request, send: Send) -> None:
        try:
            answer = await self._answer(request)
        except Disconnected:
            return
        if answer.pieces is not None and request.method != "HEAD" and answer.status != 204:
            await send_pieces(send, request, answer, stopping=self._stopping)
            return
        if answer.pieces is not None:
            await answer.pieces.aclose()
        await send_answer(send, answer, request.request_id, with_body=request.method != "HEAD")

    async def _answer(self, request: Request) -> Answer:
        try:
            if request.path in ("/health/live", "/health/ready"):
                return await self._probe(request)
            if request.path == "/metrics" and self._gauges:
                return self._counted(request)
            if self._door.is_shut:
                raise Unavailable("it is not ready yet")
            request.check_headers()
            method = "GET" if request.method == "HEAD" else request.method
            endpoint, path_values = self._routes.match(method, request.path)
            if not self._ready:
                await self.open()
            with Deadline(endpoint.timeout_s):
                return await endpoint.answer(request, path_values)
        except SutazaiError as error:
            return failure(request.request_id, error)
        except TimeoutError:
            return failure(request.request_id, TimedOut("the function took too long"))
        except Disconnected:
            raise
        except Exception:
            logger.exception("%s %s failed (request %s)", request.method, request.path, request.request_id)
            return failure(request.request_id, SutazaiError("something went wrong on our side"))

    async def _probe(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.method} is not served here", allow=["GET", "HEAD"])
        if request.path == "/health/ready" and not self._ready:
            # A host without lifespan sends nothing else before this, so no request would open the ports.
            await self.open()
        if request.path == "/health/ready" and self._door.is_shut:
            raise Unavailable("it is not ready yet")
        return Answer(200, b'{"status":"ok"}', ((b"content-type", b"application/json"),))

    def _counted(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.method} is not served here", allow=["GET", "HEAD"])
        assert self._gauges is not None
        return Answer(200, self._gauges.text(), ((b"content-type", CONTENT_TYPE),))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.open()
        except Exception as exc:
            logger.exception("start failed")
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _denying(send: Send) -> Send:
    """Answers as those to requests, in place of opening a socket."""

    async def deny(message: MutableMapping[str, object]) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return deny


def run(
    app: App,
    *,
    host: str,
    port: int,
    drain_s: int = DRAIN_S,
    fd: int | None = None,
    sockets: "list[socket.socket] | None" = None,
) -> None:
    """Serve until SIGTERM, then drain. `fd`, or `sockets`: what listens already. Raises ConfigurationError."""
    from shared.telemetry import log_lines

    log_lines()
    server = server_of(app, host=host, port=port, drain_s=drain_s, fd=fd)
    # What is loaded by now stays for good, so collections need not look at it; and they are on, whoever put them off.
    gc.freeze()
    # A request's objects are gone with it, so looking after every 700th finds nothing, for a twentieth of the time.
    gc.set_threshold(20_000, 20, 50)
    gc.enable()
    server.run(sockets)


def server_of(app: App, *, host: str, port: int, drain_s: int = DRAIN_S, fd: int | None = None) -> "Server":
    from uvicorn.config import Config
    from uvicorn.server import Server

    class Host(Server):
        """The app's ports open before anyone can connect, and close once the last request has ended."""

        async def startup(self, sockets: "list[socket.socket] | None" = None) -> None:
            try:
                await app.open()
            except Unavailable as exc:
                # A restart would mend nothing: the next probe or request opens them as soon as that has passed.
                logger.warning("it is not ready yet: %s", exc)
            try:
                await super().startup(sockets)
            except SystemExit:
                await app.close()
                raise
            logger.info("serving at %s", [one.getsockname() for server in self.servers for one in server.sockets])

        async def shutdown(self, sockets: "list[socket.socket] | None" = None) -> None:
            logger.info("draining %d requests", len(self.server_state.tasks))
            app.stop()
            await super().shutdown(sockets)
            await app.close()

    config = Config(
        app,
        host=host,
        port=port,
        fd=fd,
        loop="uvloop",
        http="httptools",
        # Whoever has no socket starts without what serves one.
        ws="shared.socket_protocol:BoundedSocket" if app.has_sockets else "none",
        ws_max_size=SOCKET_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_graceful_shutdown=drain_s,
        h11_max_incomplete_event_size=64 * 1024,
    )
    return Host(config)
