"""The bridge over HTTP: what is for one upstream goes there as it is, the rest is answered here."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from shared.asgi import Answer, Headers, Request
from shared.errors import Invalid, SutazaiError, Unavailable
from shared.forwarding import Connections, Lost, Passing, connections, sent_on
from shared.function import LONGEST_TASK_S, MIB, Spec
from shared.gate import Gate
from shared.mcp.bridge.events import Events
from shared.mcp.bridge.orchestrator import Orchestrator, Routed
from shared.mcp.bridge.registry import Registry
from shared.mcp.bridge.state import BridgeState, Passage
from shared.mcp.endpoint import McpEndpoint
from shared.mcp.headers import Doorway, decoded
from shared.mcp.methods import SCOPE
from shared.mcp.outgoing import encoded
from shared.mcp.wire import HEADER_MISMATCH, INTERNAL_ERROR, METHODS, NO_ID, RpcError, refused, rpc_error
from shared.ports.agent_servers import AgentServers, Place
from shared.ports.capabilities import HEADER, Capabilities
from shared.wiring import Ports

_NAME: Final = b"mcp-name"
# Set here, whatever a client sent.
_REPLACED: Final = frozenset({_NAME, HEADER})
_PROOFS: Final = frozenset({b"authorization", b"x-api-key", b"cookie"})
_AWAY: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """`registry` knows what there is, `orchestrator` whose it is, `state` how they fare and what has room."""

    registry: Registry
    orchestrator: Orchestrator
    places: AgentServers
    capabilities: Capabilities
    state: BridgeState


class BridgeEndpoint:
    timeout_s = LONGEST_TASK_S + 30.0
    _bridge: Bridge
    _own: McpEndpoint
    _connections: Connections

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        # What passes on a caller's own token is counted where that is looked at again.
        self._looking = Gate(SCOPE, limited=False)
        self._counting = Gate(SCOPE)

    @property
    def routes(self) -> "list[tuple[str, str, BridgeEndpoint]]":
        return [(method, self._spec.mcp.path, self) for method in METHODS]

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        self._bridge = await self._spec.handler(**await ports.of(self._spec))
        self._bridge.registry.open(ports)
        self._own = McpEndpoint(self._spec.mcp.path, self._bridge.registry, timeout_s=self.timeout_s)
        await self._own.open(ports)
        await self._looking.open(ports)
        await self._counting.open(ports)
        self._door = Doorway(ports.settings)
        async with connections() as self._connections:
            yield

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        if request.method != "POST":
            return await self._own.answer(request, path)
        try:
            self._door.check(request)
            body = await request.body(MIB)
            routed = await self._routed(body)
            if routed is not None:
                return await self._passed_on(request, routed)
        except RpcError as error:
            return refused(NO_ID, error)
        except SutazaiError as error:
            return refused(NO_ID, rpc_error(error))
        request.unread(body)
        return await self._own.answer(request, path)

    async def _routed(self, body: bytes) -> Routed | None:
        """What is no message is for our own endpoint to refuse."""
        try:
            routed = self._bridge.orchestrator.route(body)
        except Invalid:
            return None
        if routed is None or routed.owner is None or await self._bridge.registry.knows(routed.owner):
            return routed
        return None

    async def _passed_on(self, request: Request, routed: Routed) -> Answer:
        try:
            place = self._bridge.places.place(routed.upstream)
            proof = await self._proof(request, routed, place)
            return await self._forwarded(request, routed, place, _headers(request, routed, place, proof))
        except RpcError as error:
            return refused(routed.id, error)
        except SutazaiError as error:
            return refused(routed.id, rpc_error(error))

    async def _proof(self, request: Request, routed: Routed, place: Place) -> str | None:
        """Our word for a caller whose own token goes no further; None where it does, and is counted there."""
        try:
            caller = await self._looking.caller(request)
        except SutazaiError:
            # As whoever guesses is.
            await self._counting.caller(request)
            raise
        if not place.vouched and caller.resources is None:
            return None
        caller = await self._counting.caller(request)
        scopes = self._bridge.registry.scopes(routed.upstream)
        return self._bridge.capabilities.issue(caller, agent=routed.upstream, scopes=scopes, body=routed.body)

    async def _forwarded(self, request: Request, routed: Routed, place: Place, headers: Headers) -> Answer:
        passage = self._bridge.state.begin(routed.upstream)
        try:
            answer = await self._connections.forward(request, place.addresses, place.path, headers, routed.body)
        except (Unavailable, Lost) as exc:
            passage.failed()
            passage.close()
            raise _unanswered(routed.upstream, exc) from exc
        except BaseException:
            passage.left()
            passage.close()
            raise
        if answer.status in _AWAY:
            passage.failed()
        else:
            passage.answered()
        return self._returned(answer, routed, passage)

    def _returned(self, answer: Answer, routed: Routed, passage: Passage) -> Answer:
        change = partial(self._bridge.orchestrator.returned, routed)
        if isinstance(answer.pieces, Passing):
            answer.pieces.change = Events(change).feed
            answer.pieces.closed = passage.close
            return answer
        passage.close()
        body = change(answer.body)
        return answer if body is answer.body else replace(answer, body=body)


def _headers(request: Request, routed: Routed, place: Place, proof: str | None) -> Headers:
    without = _REPLACED
    added: list[tuple[bytes, bytes]] = []
    if (said := request.header(_NAME)) is not None:
        if decoded(said) != routed.said:
            message = f"Header mismatch: Mcp-Name is {said[:200]!r}, the body says {routed.said[:200]!r}"
            raise RpcError(HEADER_MISMATCH, message)
        added.append((_NAME, encoded(routed.name)))
    if place.host is not None:
        without |= {b"host"}
        added.append((b"host", place.host.encode()))
    if proof is not None:
        without |= _PROOFS
        added.append((HEADER, proof.encode()))
    return (*sent_on(request, without=without), *added)


def _unanswered(upstream: str, error: Exception) -> RpcError:
    if isinstance(error, Lost):
        # It may have run: whether it did is in the caller's history, and it is not for us to run it again.
        message = f"{upstream!r} ended before it had answered; your history says whether the call had an effect"
        return RpcError(INTERNAL_ERROR, message, status=502)
    said = Unavailable(f"{upstream!r} cannot be reached now; try again in a moment", retry_after=1)
    return rpc_error(said)
