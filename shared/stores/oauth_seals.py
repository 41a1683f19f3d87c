"""Seals on what a page carries from one request to the next."""

import time

from shared.config import Settings
from shared.crypto import keyed_hash, refresh_key, same
from shared.ports.oauth import PAGE_S


class KeyedSeals:
    def __init__(self, *, settings: Settings) -> None:
        self._key = refresh_key(settings.keys_dir)

    def seal(self, *parts: str) -> str:
        until = str(int(time.time()) + PAGE_S)
        return f"{until}.{self._hash(until, parts)}"

    def holds(self, sealed: str, *parts: str) -> bool:
        until, _, hashed = sealed.partition(".")
        if not until.isdecimal() or len(until) > 12 or int(until) < time.time():
            return False
        return same(self._hash(until, parts).encode(), hashed.encode(errors="replace"))

    def _hash(self, until: str, parts: tuple[str, ...]) -> str:
        return keyed_hash(self._key, "oauth-page", until.encode(), *(part.encode() for part in parts)).hex()
