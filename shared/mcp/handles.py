"""What clients carry for us and cannot change: the handle of a session, and the state of a request that asks."""

import hashlib
import os
import struct
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from shared import base64url
from shared.crypto import keyed_hash, same
from shared.dialogue import Dialogue
from shared.mcp.wire import LEGACY
from shared.strict_json import Json, dump, load

SESSION_S: Final = 24 * 3600
# As long as somebody may take to fill in a form.
STATE_S: Final = 1800
# A request that brings it back has room for its own parameters beside it.
STATE_BYTES: Final = 512 * 1024
_MAC_BYTES = 16
# When it ends, who it is, the place of its revision, and what its client can be asked, as bits.
_SESSION = struct.Struct("!Q12sBB")
_KINDS: Final = ("elicitation", "sampling", "roots")
_EXPIRES = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Session:
    """What begins with a handshake. `id` tells it from others, and is no secret; `kinds`: what it can be asked."""

    id: str
    version: str
    kinds: frozenset[str]
    expires_at: int

    @property
    def is_resumable(self) -> bool:
        """Earlier revisions know no event without data, which says that a stream can be taken up again."""
        return self.version == LEGACY[0]

    @property
    def left_s(self) -> int:
        return max(1, self.expires_at - int(time.time()))


class Handles:
    """Signed for one user: nobody else's, and nothing made up, can be opened.

    A session that was begun at the bridge goes on at the agents behind it, and so do questions; the state of a
    request is for the one server that has given it out.
    """

    def __init__(self, key: bytes, server: str) -> None:
        self._key = key
        self._server = server.encode()

    def begin(self, user_id: UUID, version: str, kinds: frozenset[str]) -> str:
        """A new session's handle."""
        bits = sum(1 << place for place, kind in enumerate(_KINDS) if kind in kinds)
        body = _SESSION.pack(int(time.time()) + SESSION_S, os.urandom(12), LEGACY.index(version), bits)
        return base64url.written(self._mac("mcp-session", user_id, body) + body)

    def session(self, user_id: UUID, handle: str) -> Session | None:
        """None for what is over, somebody else's, or none of ours."""
        raw = _read(handle)
        if raw is None or len(raw) != _MAC_BYTES + _SESSION.size:
            return None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not same(mac, self._mac("mcp-session", user_id, body)):
            return None
        expires_at, number, place, bits = _SESSION.unpack(body)
        if expires_at < time.time():
            return None
        kinds = frozenset(kind for place, kind in enumerate(_KINDS) if bits & 1 << place)
        return Session(number.hex(), LEGACY[place], kinds, expires_at)

    def state(self, user_id: UUID, subject: bytes, dialogue: Dialogue, kept: Json) -> str | None:
        """What has been answered so far, and what the action keeps; None where that is too much to carry."""
        expires = _EXPIRES.pack(int((time.time() + STATE_S) * 1000))
        body = expires + dump({"answers": dict(dialogue.answers), "state": kept})
        if len(body) > STATE_BYTES:
            return None
        return base64url.written(self._mac("mcp-state", user_id, self._server, subject, body) + body)

    def resumed(self, user_id: UUID, subject: bytes, state: str) -> Dialogue | None:
        """None for what is over, was made for another request or user, or is none of ours."""
        raw = _read(state)
        if raw is None or len(raw) < _MAC_BYTES + _EXPIRES.size:
            return None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not same(mac, self._mac("mcp-state", user_id, self._server, subject, body)):
            return None
        if _EXPIRES.unpack_from(body)[0] < time.time() * 1000:
            return None
        said = load(body[_EXPIRES.size :])
        assert isinstance(said, dict) and isinstance(said["answers"], dict)
        return Dialogue(answers=said["answers"], state=said["state"])

    def question(self, user_id: UUID) -> str:
        """The id of a request to the user's client: an answer of anybody else goes nowhere."""
        return self._named("mcp-question", user_id, os.urandom(12))

    def is_question(self, user_id: UUID, id: str) -> bool:
        raw = _read(id)
        return raw is not None and len(raw) == 12 + _MAC_BYTES and id == self._named("mcp-question", user_id, raw[:12])

    def call(self, session: Session, id: bytes) -> str:
        """The name of one request within its session."""
        return base64url.written(hashlib.sha256(b"%b %b" % (session.id.encode(), id)).digest()[:24])

    def stream(self, session: Session, asked: bytes) -> str:
        """The name of what answers one request within its session."""
        return self.call(session, b"stream " + asked)

    def _named(self, purpose: str, user_id: UUID, number: bytes) -> str:
        return base64url.written(number + self._mac(purpose, user_id, number))

    def _mac(self, purpose: str, user_id: UUID, *parts: bytes) -> bytes:
        return keyed_hash(self._key, purpose, user_id.bytes, *parts)[:_MAC_BYTES]


def subject(method: str, name: str, arguments: Json) -> bytes:
    """What a request is about, whatever the order in which its arguments come."""
    return hashlib.sha256(dump([method, name, _ordered(arguments)])).digest()


def _ordered(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _read(text: str) -> bytes | None:
    """One spelling only, so that what was changed anywhere is not what was given out."""
    try:
        return base64url.read(text)
    except ValueError:
        return None
