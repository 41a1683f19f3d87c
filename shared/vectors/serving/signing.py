"""How the vector service knows who may ask it: by a key that only this platform's processes have."""

import time
from pathlib import Path
from typing import Final

from shared.crypto import keyed_hash, same, vectors_key
from shared.errors import Unauthorized

HEADER: Final = b"sutazai-vectors"
_FRESH_S: Final = 60


class Signer:
    """Both ends have the same key. A request that somebody else sends again within a minute only asks again."""

    def __init__(self, keys_dir: Path) -> None:
        self._key = vectors_key(keys_dir)

    def sign(self, path: str, body: bytes) -> bytes:
        stamp = b"%d" % time.time()
        return b"%b.%b" % (stamp, self._mac(stamp, path, body).hex().encode())

    def verify(self, header: bytes, path: str, body: bytes) -> None:
        """Raises Unauthorized."""
        stamp, _, mac = header.partition(b".")
        is_fresh = stamp.isdigit() and len(stamp) < 12 and abs(int(stamp) - time.time()) <= _FRESH_S
        if not (is_fresh and same(mac, self._mac(stamp, path, body).hex().encode())):
            raise Unauthorized("the request is not signed by this platform")

    def _mac(self, stamp: bytes, path: str, body: bytes) -> bytes:
        return keyed_hash(self._key, "vectors", stamp, path.encode(), body)
