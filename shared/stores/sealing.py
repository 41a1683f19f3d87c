"""The key that signs the audit trail's seals."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.config import Settings
from shared.crypto import read_key


class SealingKey:
    """Ed25519, from the file `seal` of the key folder."""

    def __init__(self, *, settings: Settings) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(read_key(settings.keys_dir, "seal"))

    def sign(self, digest: bytes) -> bytes:
        return self._key.sign(digest)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        try:
            self._key.public_key().verify(signature, digest)
        except InvalidSignature:
            return False
        return True
