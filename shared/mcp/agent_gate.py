"""Lets in who asks an agent: themselves, or by the word of the bridge, which has counted them already."""

from shared.asgi import Request
from shared.errors import Unauthorized
from shared.function import MIB, Caller
from shared.gate import Gate
from shared.identity import authorize
from shared.ports.capabilities import HEADER, Capabilities
from shared.wiring import Ports


class AgentGate(Gate):
    def __init__(self, scope: str, path: str) -> None:
        super().__init__(scope)
        self._needed = scope
        self._agent = path.rpartition("/")[2]

    async def open(self, ports: Ports) -> None:
        await super().open(ports)
        self._ports = ports

    async def caller(self, request: Request) -> Caller:
        if (capability := request.header(HEADER)) is None:
            return await super().caller(request)
        if request.header(b"authorization") is not None or request.header(b"x-api-key") is not None:
            raise Unauthorized("a capability and a token were sent: which of them counts?", reason="two_credentials")
        body = await request.body(MIB)
        request.unread(body)
        capabilities = await self._ports.open(Capabilities)
        caller = capabilities.verify(capability, agent=self._agent, body=body)
        authorize(caller, self._needed)
        return caller
