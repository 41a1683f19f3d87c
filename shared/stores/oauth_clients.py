"""OAuth clients: described at the URL that is their id, or registered with an id that says it all."""

import asyncio
import json
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import base64url, strict_json
from shared.config import Settings
from shared.crypto import keyed_hash, refresh_key, same
from shared.errors import Invalid, ToolError, Unavailable
from shared.ports.egress import Egress, Response
from shared.ports.oauth import Client
from shared.redirect_uris import MOST, is_redirect_uri

DOCUMENT_BYTES: Final = 10 * 1024
LONGEST_ID: Final = 1500
_FETCH_S: Final = 5.0
_FETCHES: Final = 8
_FRESH_S: Final = (60, 3600, 24 * 3600)
_REMEMBERED: Final = 500
_PREFIX: Final = "szc_"
_PUBLIC: Final = "none"
_SEAL_BYTES: Final = 32
# HTTPS with a path, in the one spelling that all readers share: no userinfo, query, fragment or dot segment.
_URL: Final = re.compile(
    r"https://[a-z0-9.-]+(?::[1-9][0-9]{0,4})?(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]*)+"
)
_MAX_AGE: Final = re.compile(r"\bmax-age=([0-9]{1,9})\b")


class _Described(BaseModel):
    """What counts of client metadata (RFC 7591, 2); whatever else there is says nothing to us."""

    model_config = ConfigDict(extra="ignore", strict=True)
    client_id: str | None = None
    client_name: str = Field(min_length=1, max_length=100)
    redirect_uris: list[str] = Field(min_length=1, max_length=MOST)
    grant_types: list[str] = ["authorization_code"]
    response_types: list[str] = ["code"]
    token_endpoint_auth_method: str = _PUBLIC
    client_secret: str | None = None


class FetchedClients:
    def __init__(self, *, egress: Egress, settings: Settings) -> None:
        self._egress = egress
        self._key = refresh_key(settings.keys_dir)
        self._near: OrderedDict[str, tuple[Client, float]] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[Client]] = {}

    async def get(self, client_id: str) -> Client:
        if client_id.startswith(_PREFIX):
            return self._registered(client_id)
        if len(client_id) > LONGEST_ID or not _URL.fullmatch(client_id) or urlsplit(client_id).path == "/":
            raise _unknown(client_id, "it is neither an id of ours nor an https:// URL with a path")
        near = self._near.get(client_id)
        if near is not None and near[1] > time.monotonic():
            return near[0]
        if (fetching := self._fetching.get(client_id)) is None:
            # Whoever asks has proven nothing: what they make us fetch is bounded.
            if len(self._fetching) >= _FETCHES:
                raise Unavailable("too many descriptions of clients are being fetched")
            fetching = self._fetching[client_id] = asyncio.create_task(self._fetched(client_id))
            fetching.add_done_callback(lambda ended: self._ended(client_id, ended))
        return await asyncio.shield(fetching)

    def register(self, *, name: str, redirect_uris: Sequence[str], refreshes: bool) -> Client:
        _check(name, redirect_uris)
        said = strict_json.dump([name, list(redirect_uris), refreshes])
        seal = keyed_hash(self._key, "oauth-client", said)
        client_id = _PREFIX + base64url.written(seal + said)
        if len(client_id) > LONGEST_ID:
            raise Invalid("there are too many redirect URIs", error="invalid_client_metadata")
        return Client(client_id=client_id, name=name, redirect_uris=tuple(redirect_uris), refreshes=refreshes)

    def _ended(self, client_id: str, fetching: "asyncio.Task[Client]") -> None:
        del self._fetching[client_id]
        # Those who have asked may all be gone: then nobody else looks at what it met.
        if not fetching.cancelled():
            fetching.exception()

    def _registered(self, client_id: str) -> Client:
        try:
            raw = base64url.read(client_id.removeprefix(_PREFIX))
            seal, said = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
            if len(client_id) > LONGEST_ID or not same(seal, keyed_hash(self._key, "oauth-client", said)):
                raise ValueError("a seal that is not ours")
            name, redirect_uris, refreshes = json.loads(said)
        except ValueError as exc:
            raise _unknown(client_id, "nobody has registered it here") from exc
        return Client(client_id=client_id, name=name, redirect_uris=tuple(redirect_uris), refreshes=refreshes)

    async def _fetched(self, url: str) -> Client:
        try:
            answer = await self._egress.request(
                "GET", url, headers={"Accept": "application/json"}, timeout_s=_FETCH_S, redirects=0
            )
        except ToolError as exc:
            # What exactly is wrong with an address is nothing for strangers.
            raise _unknown(url, "its description cannot be fetched") from exc
        client = _client(url, answer)
        self._near[url] = (client, time.monotonic() + _fresh_s(answer.headers.get("cache-control", "")))
        self._near.move_to_end(url)
        if len(self._near) > _REMEMBERED:
            self._near.popitem(last=False)
        return client


def _client(url: str, answer: Response) -> Client:
    """Raises Invalid."""
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status != 200 or not (media_type == "application/json" or media_type.endswith("+json")):
        raise _unknown(url, "its URL does not answer with JSON")
    if len(answer.body) > DOCUMENT_BYTES:
        raise _unknown(url, f"its description is longer than {DOCUMENT_BYTES} bytes")
    try:
        strict_json.parse(answer.body)
        said = _Described.model_validate_json(answer.body)
    except (Invalid, ValidationError) as exc:
        raise _unknown(url, "its description lacks what is needed") from exc
    if said.client_id != url:
        raise _unknown(url, "its description is that of another")
    if said.client_secret is not None or said.token_endpoint_auth_method != _PUBLIC:
        raise _unknown(url, "it wants to prove itself otherwise than by PKCE")
    if "authorization_code" not in said.grant_types or "code" not in said.response_types:
        raise _unknown(url, "it does not want a code")
    _check(said.client_name, said.redirect_uris)
    return Client(
        client_id=url,
        name=said.client_name,
        redirect_uris=tuple(said.redirect_uris),
        refreshes="refresh_token" in said.grant_types,
        host=urlsplit(url).hostname or "",
    )


def _check(name: str, redirect_uris: Sequence[str]) -> None:
    """Raises Invalid. Invisible and turning characters would make one name look like another."""
    if not name.isprintable() or not name.strip():
        raise Invalid("the client's name holds what cannot be shown", error="invalid_client_metadata")
    for uri in redirect_uris:
        if not is_redirect_uri(uri):
            raise Invalid(f"{uri[:200]!r} is neither https:// nor loopback", error="invalid_redirect_uri")


def _fresh_s(cache_control: str) -> int:
    least, usual, most = _FRESH_S
    said = cache_control.lower()
    found = _MAX_AGE.search(said)
    if "no-store" in said or "no-cache" in said:
        return least
    return usual if found is None else min(max(int(found[1]), least), most)


def _unknown(client_id: str, why: str) -> Invalid:
    return Invalid(f"the client {client_id[:200]!r} is refused: {why}", error="invalid_client")
