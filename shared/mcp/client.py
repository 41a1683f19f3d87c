"""A small client of MCP for servers outside: 2026-07-28 where they speak it, else a handshake and a session."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from shared import strict_json
from shared.errors import ToolError
from shared.mcp.answers import Progress, Refusal, Stream, answer_of, falls_back, result_of, worded
from shared.mcp.definitions import definitions, text
from shared.mcp.outgoing import encoded, headers_of
from shared.mcp.wire import CAPABILITIES_KEY, CLIENT_KEY, LEGACY, MODERN, VERSION_KEY
from shared.ports.egress import Outside, Response
from shared.ports.mcp_servers import Contact, Listing
from shared.strict_json import Json
from shared.version import VERSION

LIST_S = 20.0
_SHORT_S = 10.0
_MOST_PAGES, _MOST_LISTED = 20, 400
_INSTRUCTIONS = 2000
_REMEMBERED = 1000
_CLIENT: Final[dict[str, Json]] = {"name": "sutazai", "title": "SutazAI", "version": VERSION}


@dataclass(frozen=True, slots=True)
class _Spoken:
    """`session` is None where the server has given none."""

    version: str
    session: bytes | None = None


class OutsideClient:
    """Remembers how each server is spoken to; a session belongs to whoever proves themselves in the same way."""

    def __init__(self, *, outside: Outside) -> None:
        self._outside = outside
        self._spoken: OrderedDict[bytes, _Spoken] = OrderedDict()
        self._ids = 0

    async def check(self, url: str) -> None:
        """Raises ToolError for a URL that is refused, and Unavailable."""
        await self._outside.check(url)

    async def listing(self, contact: Contact) -> Listing:
        """All tools that it offers, cleaned. Raises ToolError and Unavailable."""
        self._spoken.pop(_key(contact), None)
        with worded(contact.name):
            async with asyncio.timeout(LIST_S):
                spoken, instructions = await self._greeted(contact)
                listed = await self._listed(contact)
        found, problems = definitions(listed)
        return Listing(protocol=spoken.version, instructions=instructions, tools=found, problems=problems)

    async def call(
        self,
        contact: Contact,
        tool: str,
        arguments: Mapping[str, Json],
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        progress: Progress,
    ) -> dict[str, Json]:
        """Its result; `headers` are arguments that the server wants to see there too. Raises ToolError, Unavailable."""
        with worded(contact.name):
            params: dict[str, Json] = {"name": tool, "arguments": dict(arguments)}
            return result_of(await self._asked(contact, "tools/call", params, headers, timeout_s, progress))

    async def _listed(self, contact: Contact) -> list[Json]:
        listed: list[Json] = []
        cursor: Json = None
        for _ in range(_MOST_PAGES):
            params: dict[str, Json] = {} if cursor is None else {"cursor": cursor}
            page = await self._asked(contact, "tools/list", params, {}, _SHORT_S, None)
            tools, cursor = page.get("tools"), page.get("nextCursor")
            if not isinstance(tools, list):
                raise ToolError("its list of tools is none")
            listed += tools
            if not isinstance(cursor, str) or len(listed) >= _MOST_LISTED:
                break
        return listed

    async def _asked(
        self,
        contact: Contact,
        method: str,
        params: dict[str, Json],
        headers: Mapping[str, str],
        timeout_s: float,
        progress: Progress | None,
    ) -> dict[str, Json]:
        key = _key(contact)
        known = self._spoken.get(key)
        spoken = known or (await self._greeted(contact))[0]
        try:
            return await self._request(contact, spoken, method, params, headers, timeout_s, progress)
        except Refusal as refusal:
            # A session ends when its server likes; what it no longer knew it has not run.
            if known is None or spoken.session is None or refusal.status != 404:
                raise
        self._spoken.pop(key, None)
        spoken, _ = await self._greeted(contact)
        return await self._request(contact, spoken, method, params, headers, timeout_s, progress)

    async def _greeted(self, contact: Contact) -> tuple[_Spoken, str]:
        try:
            said = await self._request(contact, _Spoken(MODERN), "server/discover", {}, {}, _SHORT_S, None)
            spoken = _Spoken(MODERN)
        except Refusal as refusal:
            if refusal.status in (401, 403, 429) or refusal.status >= 500 or not falls_back(refusal):
                raise
            spoken, said = await self._shaken_hands(contact)
        self._spoken[_key(contact)] = spoken
        while len(self._spoken) > _REMEMBERED:
            self._spoken.popitem(last=False)
        return spoken, text(said.get("instructions"), _INSTRUCTIONS)

    async def _shaken_hands(self, contact: Contact) -> tuple[_Spoken, dict[str, Json]]:
        params: dict[str, Json] = {"protocolVersion": LEGACY[0], "capabilities": {}, "clientInfo": _CLIENT}
        message: dict[str, Json] = {"jsonrpc": "2.0", "id": self._next_id(), "method": "initialize", "params": params}
        answer = await self._sent(contact, message, {}, None, None, _SHORT_S, None)
        said = answer_of(answer, message["id"])
        version = said.get("protocolVersion")
        if version not in LEGACY or not isinstance(version, str):
            raise ToolError(f"it speaks {text(version, 40)!r}, which we do not")
        session = answer.headers.get("mcp-session-id")
        if session is not None and not (session.isascii() and session.isprintable() and len(session) <= 1000):
            raise ToolError("the id of its session is none")
        spoken = _Spoken(version, session.encode() if session else None)
        ready: dict[str, Json] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        answer = await self._sent(contact, ready, {}, spoken.version, spoken.session, _SHORT_S, None)
        if answer.status >= 400:
            raise Refusal(answer.status, 0, f"it answered {answer.status} to the end of the handshake")
        return spoken, said

    async def _request(
        self,
        contact: Contact,
        spoken: _Spoken,
        method: str,
        params: dict[str, Json],
        headers: Mapping[str, str],
        timeout_s: float,
        progress: Progress | None,
    ) -> dict[str, Json]:
        number = self._next_id()
        meta: dict[str, Json] = {} if progress is None else {"progressToken": number}
        if spoken.version == MODERN:
            meta = {**meta, VERSION_KEY: MODERN, CLIENT_KEY: _CLIENT, CAPABILITIES_KEY: {}}
            headers = {name: encoded(value).decode() for name, value in headers.items()}
        else:
            headers = {}
        asked = {**params, "_meta": meta} if meta else params
        message: dict[str, Json] = {"jsonrpc": "2.0", "id": number, "method": method, "params": asked}
        version = None if spoken.version == MODERN else spoken.version
        answer = await self._sent(contact, message, headers, version, spoken.session, timeout_s, progress)
        return answer_of(answer, number)

    async def _sent(
        self,
        contact: Contact,
        message: dict[str, Json],
        headers: Mapping[str, str],
        version: str | None,
        session: bytes | None,
        timeout_s: float,
        progress: Progress | None,
    ) -> Response:
        """A stream is read up to the message that answers, which is then the body."""
        protocol = {n.decode(): v.decode() for n, v in headers_of(message, version=version, session=session)}
        sent = {**contact.headers, **headers, **protocol}
        stream = Stream(progress)
        body = strict_json.dump(message)
        answer = await self._outside.converse(
            "POST", contact.url, headers=sent, body=body, timeout_s=timeout_s, heard=stream.heard
        )
        return replace(answer, body=stream.answer) if stream.answer is not None else answer

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids


def _key(contact: Contact) -> bytes:
    """Who else asks there, or asks for somebody else, has another session."""
    proof = sorted((name.lower(), value) for name, value in contact.headers.items())
    return hashlib.sha256(repr((contact.url, proof)).encode()).digest()
