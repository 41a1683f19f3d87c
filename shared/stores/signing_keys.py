"""The Ed25519 keys that sign for the platform: what is published is what verifies."""

import logging
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared import base64url
from shared.crypto import signing_seeds
from shared.errors import Unavailable

logger = logging.getLogger("sutazai.keys")

# How long a rotation of the signing keys may go unnoticed.
RELOAD_S = 1.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    x: str


class SigningKeys:
    """The key files of a folder; the newest signs, all of them verify."""

    def __init__(self, folder: Path, *, reload_s: float = RELOAD_S) -> None:
        self._folder = folder
        self._reload_s = reload_s
        self._lock = threading.Lock()
        self._keys: tuple[SigningKey, ...] = ()
        self._seeds: tuple[bytes, ...] = ()
        self._looked_at = float("-inf")

    def live(self) -> tuple[SigningKey, ...]:
        """Newest first; the same tuple until a rotation."""
        if time.monotonic() - self._looked_at >= self._reload_s:
            seeds = self._read()
            with self._lock:
                if seeds != self._seeds:
                    self._seeds, self._keys = seeds, tuple(_key(seed) for seed in seeds)
                self._looked_at = time.monotonic()
        return self._keys

    def _read(self) -> tuple[bytes, ...]:
        try:
            return signing_seeds(self._folder)
        except OSError as exc:
            # Out of descriptors, say: what was known a moment ago goes on, or every caller would be refused for it.
            if not self._seeds:
                raise Unavailable("the signing keys cannot be read now") from exc
            logger.warning("the signing keys cannot be read now: %s", exc.strerror)
            return self._seeds


def _key(seed: bytes) -> SigningKey:
    """The kid is the key's own thumbprint (RFC 7638): nothing has to remember which is which."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key()
    x = base64url.written(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    kid = base64url.written(sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())
    return SigningKey(kid, private, public, x)
